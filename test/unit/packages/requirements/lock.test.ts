import fc from 'fast-check';
import { formatLock, lockKey, parseLock, parsePins, pinLines } from '../../../../src/packages/requirements/lock';

const hash = fc.stringMatching(/^[0-9a-f]{64}$/).map((hex) => `sha256:${hex}`);
const pin = fc.record({
  spec: fc.stringMatching(/^[a-z][a-z0-9]{0,9}(\[[a-z]{1,5}\])?==[0-9]{1,3}(\.[0-9]{1,2}){0,2}$/),
  hashes: fc.array(hash, { maxLength: 4 }),
});

test("a lock names its inputs, and has pip's format", () => {
  fc.assert(
    fc.property(fc.array(pin, { maxLength: 8 }), (pins) => {
      const lock = { pins, from: lockKey('flask\n'), python: '3.11' };
      expect(parseLock(formatLock(lock))).toEqual(lock);
      expect(parsePins(pinLines(pins), 'here').map(({ spec }) => spec)).toEqual(pins.map(({ spec }) => spec));
    }),
  );
});

test('keys differ for different inputs, also when the same text is split differently', () => {
  expect(lockKey('a', 'b')).not.toBe(lockKey('ab', ''));
  expect(lockKey('a')).toBe(lockKey('a'));
});

test.each(['flask\n', '', '# argyle lock of nothing\nflask==1\n'])('%j is not a lock', (text) => {
  expect(parseLock(text)).toBeUndefined();
});

test.each(['flask', 'flask>=1', '-r x', 'flask==1.*', '../..==1'])('%s is not a pin', (line) => {
  expect(() => parsePins(`idna==3.10\n${line}\n`, 'the lock')).toThrow(/^the lock/);
});
