/**
 * Requirements of a web application behind a worker, whatever its framework. Every application of test/support/web
 * answers the same paths. The test client follows no redirects and keeps no cookies, as curl.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import type { LiveWorker, Reply } from './contract-target';

export type WebApp = 'wsgi' | 'asgi' | 'flask' | 'django' | 'fastapi';

export const WEB_DIR = join(__dirname, 'web');

export interface WebAppTraits {
  /** Whether the redirect for a missing slash keeps method and body. */
  slashKeepsMethod: boolean;
  /** Whether each page with GET also answers HEAD. */
  heads: boolean;
  /** Whether uploads without a declared length work. */
  chunkedUploads: boolean;
}

/** Behaviour of each framework, whatever server it runs behind. */
export const TRAITS: Readonly<Record<WebApp, WebAppTraits>> = {
  wsgi: { slashKeepsMethod: true, heads: true, chunkedUploads: true },
  asgi: { slashKeepsMethod: true, heads: true, chunkedUploads: true },
  flask: { slashKeepsMethod: true, heads: true, chunkedUploads: true },
  django: { slashKeepsMethod: false, heads: true, chunkedUploads: false },
  fastapi: { slashKeepsMethod: true, heads: false, chunkedUploads: true },
};

/** The tests of one application. @param at returns worker and function when they are ready */
export function webAppTests(kind: WebApp, at: () => { worker: LiveWorker; name: string }): void {
  const { slashKeepsMethod, heads, chunkedUploads } = TRAITS[kind];
  const call = (path: string, options: Parameters<LiveWorker['call']>[1] = {}): Promise<Reply> =>
    at().worker.call(`/run/${at().name}${path}`, options);
  const json = async (path: string, options = {}) => JSON.parse((await call(path, options)).body) as unknown;
  const post = (body: string, type: string) => ({ method: 'POST', body, headers: { 'content-type': type } });
  const FORM = 'application/x-www-form-urlencoded';

  test.each(['', '/', '?x=1', '/?x=1'])('/run/NAME%s answers with the index, without a redirect', async (path) => {
    expect(await call(path)).toMatchObject({ status: 200, body: 'index' });
    expect(await call(path, { method: 'POST', body: '' })).toMatchObject({ status: 200, body: 'index' });
  });

  test('the application gets a deep path with escapes, and the query', async () => {
    expect(await json('/deep/er/p%C3%A4th%20x?x=%2F1')).toEqual({
      path: '/deep/er/päth x',
      script: `/run/${at().name}`,
      x: '/1',
    });
  });

  test('the worker follows the redirect for a missing slash', async () => {
    expect(await call('/list')).toMatchObject({ status: 200, body: 'list GET ' });
    const reply = await call('/list', post('abc', 'text/plain'));
    if (slashKeepsMethod) expect(reply).toMatchObject({ status: 200, body: 'list POST abc' });
    else expect(reply).toMatchObject({ status: 200, body: 'list GET ' });
  });

  test.each(['/go', '/go-absolute'])('the redirect of %s leads to the page', async (path) => {
    expect(await call(path)).toMatchObject({ status: 200, body: 'about' });
    if (heads) expect(await call(path, { method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
  });

  test('a POST that redirects to a page is answered with the page', async () => {
    expect(await call('/done', post('', FORM))).toMatchObject({ status: 200, body: 'about' });
  });

  test('the client gets a redirect to another host', async () => {
    expect(await call('/away')).toMatchObject({ status: 302, headers: { location: 'http://example.com/' } });
  });

  test('the redirect of a login sets a cookie, and the cookie identifies the user', async () => {
    const reply = await call('/login', post('user=ada', FORM));
    const [cookie = ''] = reply.headers['set-cookie'] ?? [];
    expect([reply.status, cookie]).toEqual([302, expect.stringMatching(/^user=ada; .*Path=\/run\//)]);
    const { url } = at().worker;
    const there = new URL(reply.headers.location ?? '', `${url}/run/${at().name}/login`);
    expect(there.origin).toBe(url);
    const next = await at().worker.call(there.pathname, { headers: { cookie: cookie.split(';')[0] } });
    expect(next).toMatchObject({ status: 200, body: 'hello ada' });
    expect(await call('/me')).toMatchObject({ body: 'hello nobody' });
  });

  test('URLs that the application makes lead to the application', async () => {
    const { worker, name } = at();
    const urls = (await json('/url')) as { relative: string; absolute: string };
    expect(urls).toEqual({ relative: `/run/${name}/about`, absolute: `${worker.url}/run/${name}/about` });
    expect(await worker.call(new URL(urls.absolute).pathname)).toMatchObject({ status: 200, body: 'about' });
  });

  test('a static file has its content type', async () => {
    const reply = await call('/static/style.css');
    expect([reply.status, reply.body]).toEqual([200, expect.stringContaining('color: navy')]);
    expect(reply.headers['content-type']).toMatch(/^text\/css/);
  });

  test('the application gets the fields of a form', async () => {
    expect(await json('/form', post('a=1&b=%C3%A4+%26', FORM))).toEqual({ a: '1', b: 'ä &' });
  });

  test.each([3, 200_000])('a file of %i bytes is uploaded', async (size) => {
    const data = Buffer.alloc(size, 'file\r\n--');
    const head = '--cut\r\nContent-Disposition: form-data; name="file"; filename="a b.bin"\r\n';
    const body = Buffer.concat([
      Buffer.from(`${head}Content-Type: application/octet-stream\r\n\r\n`),
      data,
      Buffer.from('\r\n--cut--\r\n'),
    ]);
    const type = { 'content-type': 'multipart/form-data; boundary=cut' };
    for (const headers of [type, ...(chunkedUploads ? [{ ...type, 'transfer-encoding': 'chunked' }] : [])]) {
      const told = await json('/upload', { method: 'POST', body, headers });
      expect(told).toEqual(['a b.bin', size, createHash('sha256').update(data).digest('hex')]);
    }
  });

  test('a stream arrives part by part', async () => {
    const request = at().worker.open(`/run/${at().name}/stream`);
    request.end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const times: number[] = [];
    let text = '';
    for await (const chunk of response) {
      times.push(Date.now());
      text += String(chunk);
    }
    expect(text).toBe('0\n1\n2\n');
    expect((times.at(-1) ?? 0) - (times[0] ?? 0)).toBeGreaterThan(150);
  });

  test('HEAD has the headers of GET, and the application answers OPTIONS', async () => {
    const [get, head] = [await call('/'), await call('/', { method: 'HEAD' })];
    expect([head.status, head.body, head.headers['content-type']]).toEqual([200, '', get.headers['content-type']]);
    const options = await call('/', { method: 'OPTIONS' });
    expect([options.status, options.headers['allow']]).toEqual([200, expect.stringContaining('OPTIONS')]);
  });

  test('an unknown path gets status 404', async () => {
    expect((await call('/nowhere/at/all')).status).toBe(404);
  });
}
