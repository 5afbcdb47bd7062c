import { createLog } from '../../../src/log';

jest.useFakeTimers();

function capture() {
  const lines: Record<string, unknown>[] = [];
  const log = createLog({ stream: { write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) } });
  return { lines, log };
}

const failed = (code: string): Error => Object.assign(new Error('no'), { code });

test('a repeated error is written once, with one line for all repetitions within 10 s', () => {
  const { lines, log } = capture();
  for (let i = 0; i < 1000; i++) log.part('http').warn({ err: failed('ENOSPC') }, 'cannot write');
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatchObject({ msg: 'cannot write', part: 'http', err: { code: 'ENOSPC' } });
  jest.advanceTimersByTime(10_000);
  expect(lines).toHaveLength(2);
  expect(lines[1]).toMatchObject({
    ...{ level: 40, msg: 'cannot write (repeated 999 times)', part: 'http', code: 'ENOSPC', repeated: 999 },
  });
  expect(lines[1]).not.toHaveProperty('err');
  // A new window begins with a whole line.
  log.part('http').warn({ err: failed('ENOSPC') }, 'cannot write');
  jest.advanceTimersByTime(60_000);
  expect(lines).toHaveLength(3);
  expect(lines[2]).toHaveProperty('err');
});

test('errors with another message, code or function are separate; other lines are never counted', () => {
  const { lines, log } = capture();
  for (let i = 0; i < 2; i++) {
    log.logger.error({ err: failed('A') }, 'x');
    log.logger.error({ err: failed('B') }, 'x');
    log.logger.error({ err: failed('A') }, 'y');
    log.logger.warn({ lambda: 'f', code: 'A' }, 'x');
    log.logger.info({ code: 'A', lambda: 'g' }, 'x');
    log.logger.warn('plain');
    log.logger.info({ source: 's' }, 'printed by a function');
  }
  expect(lines).toHaveLength(6 + 2);
  log.flush();
  expect(lines.slice(8).map(({ msg }) => msg)).toEqual([
    ...['x', 'x', 'y', 'x', 'x', 'plain'].map((msg) => `${msg} (repeated 1 times)`),
  ]);
});

test('names that clients invent do not fill the log', () => {
  const { lines, log } = capture();
  for (let i = 0; i < 10_000; i++) log.logger.warn({ lambda: `none-${i}`, code: 'LAMBDA_NOT_FOUND' }, 'request failed');
  expect(lines.length).toBeLessThanOrEqual(101);
  jest.advanceTimersByTime(10_000);
  expect(lines.length).toBeLessThanOrEqual(102);
  expect(lines.at(-1)).toMatchObject({ code: 'LAMBDA_NOT_FOUND', repeated: 9_899 });
});
