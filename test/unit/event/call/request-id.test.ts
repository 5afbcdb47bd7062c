import * as fc from 'fast-check';
import { requestIdOf } from '../../../../src/event/call/request-id';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

test.each([
  'a',
  '01ARZ3NDEKTSV4RRFFQ69G5FAV',
  '1-67891233-abcdef012345678912345678',
  'Root=1-67891233-abcdef',
  'aGVsbG8+/w==',
  'host:8080~1.2@x',
  'x'.repeat(128),
])('%s is used unchanged', (id) => {
  expect(requestIdOf(id)).toBe(id);
});

test.each([undefined, '', ' ', 'a b', 'a, b', 'x'.repeat(129), 'a\tb', 'ä', '"a"', '<script>', 'a;b', ['a', 'b']])(
  '%p is replaced by a new id',
  (value) => {
    expect(requestIdOf(value)).toMatch(UUID);
  },
);

test('the id is always one word of at most 128 harmless characters', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (value) => {
      expect(requestIdOf(value)).toMatch(/^[A-Za-z0-9_.~+/=:@-]{1,128}$/);
    }),
  );
});
