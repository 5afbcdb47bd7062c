import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import * as fc from 'fast-check';
import { MAX_FIELDS, readHead } from '../../../../src/sandbox/answer/head';

const read = (status: number, reason: string, raw: string[], method = 'GET') => {
  const found = readHead(method, status, reason, raw);
  return typeof found === 'string' ? found : { ...found.head, boot: found.boot };
};
const head = (more: object) => ({
  ...{ status: 200, reason: 'OK', headers: [], length: undefined, bodiless: false, boot: undefined },
  ...more,
});

describe('readHead', () => {
  test('keeps the order of fields, repeated fields and bytes above 127, and removes blanks around values', () => {
    const raw = ['Set-Cookie', 'a', 'X', ' \xff\x80\t', 'set-cookie', 'b', 'Content-Length', '3'];
    const headers = ['Set-Cookie', 'a', 'X', '\xff\x80', 'set-cookie', 'b', 'Content-Length', '3'];
    expect(read(200, 'OK', raw)).toEqual(head({ headers, length: 3 }));
  });

  test("removes the fields of the guest's connection, and the boot report", () => {
    const raw = ['Connection', 'close, X-Mine', 'X-Mine', '1', 'Transfer-Encoding', 'Chunked', 'Trailer', 'X'];
    const more = ['Keep-Alive', '1', 'X-Request-ID', 'mine', 'X-Argyle-Boot', '{}', 'x-argyle-boot', 'z', 'A', 'b'];
    expect(read(200, 'OK', [...raw, ...more])).toEqual(head({ headers: ['A', 'b'], boot: '{}' }));
  });

  test.each([
    ['Page non trouv\ufffde', ''],
    ['caf\xe9', ''],
    ['O\x01K', ''],
    ['a'.repeat(129), ''],
    ['Whatever it is', 'Whatever it is'],
    ['', ''],
  ])('converts the reason %j to %j', (reason, made) => {
    expect(read(404, reason, [])).toEqual(head({ status: 404, reason: made }));
  });

  test.each([
    [204, ['Content-Length', '2', 'Content-Type', 'a/b'], ['Content-Type', 'a/b']],
    [304, ['Content-Length', '2', 'Content-Type', 'a/b', 'ETag', 'x'], ['ETag', 'x']],
  ])('drops the length of an answer %s', (status, raw, headers) => {
    expect(read(status, 'OK', raw)).toEqual(head({ status, headers, bodiless: true }));
  });

  test('keeps the length of an answer to HEAD, which has no body', () => {
    const raw = ['Content-Length', '5'];
    expect(read(200, 'OK', raw, 'HEAD')).toEqual(head({ headers: raw, length: 5, bodiless: true }));
  });

  test.each<[string, number, string[]]>([
    ['status 99', 99, []],
    ['status 1000', 1000, []],
    ['header name "X\\u00e9"', 200, ['X\xe9', 'a']],
    ['header name "X A"', 200, ['X A', 'a']],
    ['header name ""', 200, ['', 'a']],
    ['value of header "X"', 200, ['X', 'a\x7fb']],
    ['value of header "X"', 200, ['X', 'a\r\nY: 1']],
    ['transfer encoding "gzip, chunked"', 200, ['Transfer-Encoding', 'gzip, chunked']],
    ['transfer encoding "identity"', 200, ['Transfer-Encoding', 'identity']],
    ['content length "-2"', 200, ['Content-Length', '-2']],
    ['content length "2"', 200, ['Content-Length', '2', 'Content-Length', '2']],
    ['content length "9007199254740993"', 200, ['Content-Length', '9007199254740993']],
    ['a head of 65536 bytes', 200, ['X-A', 'a'.repeat(65533)]],
    [`more than ${MAX_FIELDS} header fields`, 200, Array.from({ length: 2 * MAX_FIELDS + 2 }, () => 'a')],
  ])('reports %s as a fault', (why, status, raw) => {
    const found = read(status, 'OK', raw);
    expect(found).toEqual(why.includes('\\u') ? 'header name "X\xe9"' : why);
  });

  test('never throws, and Node can write every accepted head', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary-ascii', maxLength: 12 }),
      fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 12 }),
      fc.constantFrom('content-length', 'Transfer-Encoding', 'chunked', 'connection', 'x-a', '2', 'OK', '__proto__'),
    );
    let written = 0;
    fc.assert(
      fc.property(fc.integer({ min: -1, max: 1100 }), text, fc.array(fc.tuple(text, text)), (status, reason, pairs) => {
        const found = readHead('GET', status, reason, pairs.flat());
        if (typeof found === 'string') return;
        const res = new ServerResponse(new IncomingMessage(new Socket()));
        if (found.head.reason === '') res.writeHead(found.head.status, found.head.headers);
        else res.writeHead(found.head.status, found.head.reason, found.head.headers);
        written++;
      }),
      { numRuns: 3000 },
    );
    expect(written).toBeGreaterThan(100);
  });
});
