import { rawStrings, toClient, toLambda } from '../../../src/lambda/headers';

describe('toLambda', () => {
  test('Host is root, whatever the client sent, and its connection stays its own', () => {
    const raw = ['host', 'a', 'HOST', 'b', 'Connection', 'x-a, X-B', 'X-A', '1', 'x-b', '2', 'Expect', '100-continue'];
    const { headers } = toLambda('GET', [...raw, 'Transfer-Encoding', 'chunked', 'User-Agent', '', 'X-C', '3']);
    expect(headers).toEqual(['Host', 'root', 'User-Agent', '', 'X-C', '3', 'Accept-Encoding', 'gzip']);
  });

  test.each([
    ['GET', [], true],
    ['HEAD', [], false],
    ['GET', ['Range', 'bytes=0-1'], false],
    ['GET', ['accept-encoding', 'identity'], false],
    ['GET', ['Accept-Encoding', ''], false],
  ])('gzip on our own account for %s with %j: %s', (method, raw, decodes) => {
    const { headers, decodeGzip } = toLambda(method, raw);
    expect(decodeGzip).toBe(decodes);
    expect(headers.join().includes('Accept-Encoding,gzip')).toBe(decodes);
  });
});

describe('toClient', () => {
  test('duplicates and order stay', () => {
    const raw = ['Set-Cookie', 'a', 'X', '1', 'set-cookie', 'b', 'Connection', 'close', 'Content-Length', '3'];
    expect(toClient(raw, true)).toEqual({
      headers: ['Set-Cookie', 'a', 'X', '1', 'set-cookie', 'b', 'Content-Length', '3'],
      gunzip: false,
      length: 3,
    });
  });

  test('a body that is decoded has neither its encoding nor its length', () => {
    const raw = ['Content-Encoding', 'GZIP', 'Content-Length', '3', 'ETag', 'x'];
    expect(toClient(raw, true)).toEqual({ headers: ['ETag', 'x'], gunzip: true, length: undefined });
    expect(toClient(raw, false).headers).toEqual(raw);
  });
});

test('raw headers of undici keep every byte', () => {
  expect(rawStrings([Buffer.from([0x61, 0xe9]), 'b'])).toEqual(['aé', 'b']);
  expect(rawStrings(undefined)).toEqual([]);
});
