import { decodedHead, mustDecode, toLambda } from '../../../../../src/lambda/serve/call/headers';
import type { AnswerHead } from '../../../../../src/sandbox/answer/head';

describe('toLambda', () => {
  test("keeps Host, uses root when it is missing, and drops the connection's headers", () => {
    const raw = ['host', 'a', 'HOST', 'b', 'Connection', 'x-a, X-B', 'X-A', '1', 'x-b', '2', 'Expect', '100-continue'];
    const { headers } = toLambda('GET', [...raw, 'Transfer-Encoding', 'chunked', 'User-Agent', '', 'X-C', '3']);
    expect(headers).toEqual(['Host', 'a', 'User-Agent', '', 'X-C', '3', 'Accept-Encoding', 'gzip']);
    expect(toLambda('GET', []).headers.slice(0, 2)).toEqual(['Host', 'root']);
  });

  test.each([
    ['GET', [], true],
    ['HEAD', [], false],
    ['GET', ['Range', 'bytes=0-1'], false],
    ['GET', ['accept-encoding', 'identity'], false],
    ['GET', ['Accept-Encoding', ''], false],
  ])('requests gzip for the worker itself for %s with %j: %s', (method, raw, decodes) => {
    const { headers, decodeGzip } = toLambda(method, raw);
    expect(decodeGzip).toBe(decodes);
    expect(headers.join().includes('Accept-Encoding,gzip')).toBe(decodes);
  });
});

describe('a decoded body', () => {
  const head = (headers: string[], more: Partial<AnswerHead> = {}): AnswerHead => ({
    ...{ status: 200, reason: '', headers, length: undefined, bodiless: false },
    ...more,
  });

  test('has neither the encoding nor the length of the encoded body', () => {
    const found = head(['Content-Encoding', 'GZIP', 'Content-Length', '3', 'ETag', 'x'], { length: 3 });
    expect(mustDecode(found, true)).toBe(true);
    expect(decodedHead(found)).toEqual(head(['ETag', 'x']));
    expect(mustDecode(found, false)).toBe(false);
  });

  test('exists only where the answer has a body', () => {
    const headers = ['Content-Encoding', 'gzip'];
    expect(mustDecode(head(headers, { bodiless: true }), true)).toBe(false);
    expect(mustDecode(head(headers, { length: 0 }), true)).toBe(false);
    expect(mustDecode(head(['Content-Encoding', 'br']), true)).toBe(false);
  });
});
