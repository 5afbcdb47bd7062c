import { FailureReader } from '../../../../src/sandbox/answer/failure';
import fc from 'fast-check';

const read = (field: string, ...chunks: string[]) => {
  const reader = new FailureReader(field);
  for (const chunk of chunks) reader.add(Buffer.from(chunk));
  return reader.end();
};

test('is a SANDBOX_DEAD with the sentence and the traceback', () => {
  const error = read('"it failed: \\u20ac"', 'Trace', 'back\n');
  expect([error.code, error.message, error.trace]).toEqual(['SANDBOX_DEAD', 'it failed: €', 'Traceback']);
});

test.each(['', '1', 'null', '"', '""', '" \\n "', '{"a":1}'])(
  'has a default sentence when the guest sends %j',
  (field) => {
    expect(read(field).message).toBe('the function failed without a reason');
  },
);

test('is one line of limited length with limited bytes, for any guest', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 3000 }), fc.array(fc.string()), (text, chunks) => {
      const error = read(JSON.stringify(text), ...chunks, 'x'.repeat(40_000));
      expect(error.message).toMatch(/^[^\p{Cc}\n\r]{1,1000}$/u);
      expect(Buffer.byteLength(error.trace)).toBeLessThanOrEqual(3 * 32 * 1024);
      expect(error.trace.length).toBeLessThanOrEqual(32 * 1024);
    }),
  );
});
