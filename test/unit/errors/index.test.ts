import { ArgyleError, asArgyleError, ERRORS } from '../../../src/errors';

test('an error has the status and advice of its code, and names the faulty input', () => {
  const error = new ArgyleError('LAMBDA_METHOD', 'not allowed', { field: 'method', value: 'PUT' });
  expect(error).toMatchObject({ status: 405, retryable: false, field: 'method', value: 'PUT', message: 'not allowed' });
  expect(error).toBeInstanceOf(Error);
});

test('a thrown value becomes the cause of an error with the code; a typed error is unchanged', () => {
  const cause = new TypeError('broken');
  expect(asArgyleError('INTERNAL', cause)).toMatchObject({ code: 'INTERNAL', message: 'broken', cause });
  expect(asArgyleError('INTERNAL', 'text')).toMatchObject({ code: 'INTERNAL', message: 'text' });
  const typed = new ArgyleError('TIMEOUT', 'late');
  expect(asArgyleError('INTERNAL', typed)).toBe(typed);
});

test('every code has an HTTP status and a description', () => {
  for (const [code, { status, about }] of Object.entries(ERRORS)) {
    expect([code, status >= 400 && status < 600, about.length > 10]).toEqual([code, true, true]);
  }
});
