import fc from 'fast-check';
import { printable } from '../../../../src/cli/functions/printable';

test('printable() escapes exactly the control characters', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      // eslint-disable-next-line no-control-regex -- the expression matches control characters
      expect(printable(text)).not.toMatch(/[\x00-\x08\x0a-\x1f\x7f-\x9f]/);
    }),
  );
  expect(printable('a\tä😀 "b"')).toBe('a\tä😀 "b"');
  expect(printable('\x1b[2J\r\nx\u202e')).toBe('\\x1b[2J\\x0d\\x0ax\\u202e');
});
