import { PassThrough } from 'node:stream';
import { LogTap } from '../../../src/sandbox/log-tap';

const KB = 1024;

describe('LogTap', () => {
  function tap(): { pipe: PassThrough; lines: string[]; tap: LogTap } {
    const pipe = new PassThrough();
    const lines: string[] = [];
    return { pipe, lines, tap: new LogTap(pipe, 'f', (source, line) => lines.push(`${source}: ${line}`)) };
  }
  const settled = (): Promise<void> => new Promise(setImmediate);

  it('gives whole lines to the sink, however they arrive', async () => {
    const { pipe, lines } = tap();
    pipe.write('one\ntw');
    await settled();
    pipe.write('o\n');
    await settled();
    pipe.end('without an end');
    await settled();
    await settled();
    expect(lines).toEqual(['f: one', 'f: two', 'f: without an end']);
  });

  it('cuts long lines, and never waits for their end', async () => {
    const { pipe, lines } = tap();
    pipe.write('x'.repeat(10 * KB));
    await settled();
    expect(lines.map((line) => line.length - 'f: '.length)).toEqual([4 * KB, 4 * KB]);
  });

  it('drops what a sandbox writes beyond its rate, says how much, and goes on', async () => {
    jest.useFakeTimers({ now: 0, doNotFake: ['setImmediate', 'nextTick'] });
    try {
      const { pipe, lines } = tap();
      const line = `${'y'.repeat(KB - 1)}\n`;
      for (let written = 0; written < 4 * KB; written += 16) {
        pipe.write(line.repeat(16));
        await settled();
      }
      const kept = lines.reduce((total, one) => total + one.length, 0);
      expect(kept).toBeGreaterThan(200 * KB);
      expect(kept).toBeLessThanOrEqual(260 * KB); // four seconds' worth
      jest.setSystemTime(1000);
      pipe.write('after\n');
      await settled();
      expect(lines.at(-1)).toBe('f: after');
      expect(lines.at(-2)).toMatch(/^f: \[\d{7} bytes of log dropped\]$/);
    } finally {
      jest.useRealTimers();
    }
  });
});
