import { progressLine, withProgress } from '../../../src/cli/progress';
import { sleep } from '../../support/until';

test('progressLine() has the step, its progress and its duration in one line', () => {
  expect(progressLine('uploading', 0, 0, 3)).toMatch(/^[|/\\-] uploading {2}3 s$/);
  expect(progressLine('writing', 5, 10, 1)).toMatch(/^. writing \[#{10}\.{10}\] 5\/10 {2}1 s$/);
  expect(progressLine('writing', 11, 10, 1)).toMatch(/\[#{20}\]/);
  expect(progressLine('a long step', 0, 0, 1, 8)).toHaveLength(7);
});

/** A terminal that records its input. */
const terminal = (isTTY: boolean) => {
  const sent: string[] = [];
  return { isTTY, columns: 80, sent, write: (text: string) => sent.push(text) };
};

test('the line is cleared for other output and at the end, also after an error', async () => {
  const tty = terminal(true);
  const work = withProgress(async (progress) => {
    progress.step('counting', 3);
    progress.at(2);
    await sleep(400);
    progress.around(tty.write)('a line\n');
    await sleep(200);
    throw new Error('no luck');
  }, tty);
  await expect(work).rejects.toThrow('no luck');
  expect(tty.sent[0]?.startsWith('\r\x1b[K')).toBe(true);
  expect(tty.sent[0]).toMatch(/. counting \[#+\.+\] 2\/3/);
  expect(tty.sent[tty.sent.indexOf('a line\n') - 1]).toBe('\r\x1b[K');
  expect(tty.sent.at(-1)).toBe('\r\x1b[K');
});

test('nothing is written without a terminal, and for short steps', async () => {
  const pipe = terminal(false);
  await withProgress(async (progress) => {
    progress.step('counting');
    await sleep(300);
  }, pipe);
  const tty = terminal(true);
  await withProgress((progress) => {
    progress.step('counting');
    return Promise.resolve();
  }, tty);
  expect([pipe.sent, tty.sent]).toEqual([[], []]);
});
