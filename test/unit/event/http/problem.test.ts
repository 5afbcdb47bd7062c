import { problemText, wantsProblem } from '../../../../src/event/http/problem';

const wants = (accept?: string): boolean => wantsProblem({ headers: accept === undefined ? {} : { accept } });

test.each(['application/problem+json', 'text/html, application/problem+json;q=0.5', 'Application/Problem+JSON'])(
  'Accept: %s gets a problem',
  (accept) => {
    expect(wants(accept)).toBe(true);
  },
);

test.each([
  undefined,
  '',
  '*/*',
  'application/*',
  'application/json',
  'application/problem+json;q=0',
  'application/problem+json; q=0.000, */*',
  'application/problem+json-not',
])('Accept: %s gets plain text', (accept) => {
  expect(wants(accept)).toBe(false);
});

test('a problem has the members of RFC 9457, and code, retryable and request_id', () => {
  expect(JSON.parse(problemText(429, 'lambda function queue is full', 'FUNCTION_QUEUE_FULL', 'r1'))).toEqual({
    type: 'urn:argyle:error:FUNCTION_QUEUE_FULL',
    title: "too many requests wait for the function's code and packages",
    status: 429,
    detail: 'lambda function queue is full',
    code: 'FUNCTION_QUEUE_FULL',
    retryable: true,
    request_id: 'r1',
  });
  expect(JSON.parse(problemText(404, '404 page not found'))).toEqual({
    type: 'about:blank',
    title: 'Not Found',
    status: 404,
    detail: '404 page not found',
  });
});
