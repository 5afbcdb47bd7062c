import * as fc from 'fast-check';
import { formatLine } from '../../../src/cli/logs/format';

const line = (more: object): string =>
  JSON.stringify({
    time: '2026-11-29T12:00:00.000Z',
    level: 'info',
    lambda: 'f',
    stream: 'stdout',
    msg: 'hi',
    ...more,
  });

test('a line is formatted for people', () => {
  expect(formatLine(line({ sandbox: '12', request_id: 'r1' }), false)).toBe('2026-11-29T12:00:00.000Z #12 r1 hi');
  expect(formatLine(line({}), false)).toBe('2026-11-29T12:00:00.000Z hi');
  expect(formatLine(line({ stream: 'worker', level: 'error', msg: 'TIMEOUT: a\nb' }), false)).toBe(
    '2026-11-29T12:00:00.000Z worker TIMEOUT: a\n    b',
  );
});

test('warnings and errors have colours', () => {
  expect(formatLine(line({ level: 'error', msg: 'bad' }), true)).toBe(
    '\x1b[2m2026-11-29T12:00:00.000Z\x1b[0m \x1b[31mbad\x1b[0m',
  );
  expect(formatLine(line({ level: 'warn', msg: 'hm' }), true)).toContain('\x1b[33mhm\x1b[0m');
});

test('terminal control characters are escaped', () => {
  expect(formatLine(line({ msg: '\x1b[2J\x1b]0;owned\x07 \x9b31m a\tb \u202egpj' }), false)).toBe(
    '2026-11-29T12:00:00.000Z \\x1b[2J\\x1b]0;owned\\x07 \\x9b31m a\tb \\u202egpj',
  );
  expect(formatLine(line({ request_id: '\x1b[8m', sandbox: '\r1', time: '\x1b' }), false)).not.toMatch(/(?!\t)\p{Cc}/u);
  expect(formatLine('no JSON \x1b[2J', true)).toBe('no JSON \\x1b[2J');
});

test('no line of a function contains a terminal control character', () => {
  const text = fc.string({ unit: 'binary' });
  fc.assert(
    fc.property(text, text, text, (msg, id, time) => {
      expect(formatLine(line({ msg, request_id: id, time }), false)).not.toMatch(
        /(?![\t\n])[\p{Cc}\u2028\u2029\u202e]/u,
      );
    }),
  );
});
