import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import express from 'express';
import { PAGE_FILES } from '../../../../src/event/dashboard/files';
import { dashboardRoute } from '../../../../src/event/dashboard/route';
import { listenTcp, type Listener } from '../../../../src/event/http/listeners';
import { until } from '../../../support/until';

const PAGE = join(__dirname, '../../../../src/event/dashboard/page');

describe('/dashboard', () => {
  let server: Listener;
  let taken = 0;
  const route = dashboardRoute(
    {
      version: '1',
      settings: [],
      readings: () => [],
      recent: { coldStarts: [], failures: [] },
      instances: () => ({ busy: taken++, idle: 0, paused: 0, starting: 0, queued: 0 }),
      memory: () => ({ usedBytes: 0, totalBytes: 2 ** 20, tiers: {} }),
    },
    { debug: () => undefined, info: () => undefined, warn: () => undefined },
  );
  const get = (path: string, init: RequestInit = {}) =>
    fetch(`http://127.0.0.1:${server.port}${path}`, { redirect: 'manual', ...init });

  beforeAll(async () => {
    server = await listenTcp(express().all(/^\/dashboard/, route.handle), '127.0.0.1', 0);
  });
  afterAll(async () => {
    route.close();
    await server.close(0);
  });

  test('serves each file of the page, and no other file', async () => {
    const files = [...PAGE_FILES.values()].map(({ file }) => file).sort();
    expect(readdirSync(PAGE).sort()).toEqual(files);
    for (const [path, { type }] of PAGE_FILES) {
      const answer = await get(path);
      expect([path, answer.status, answer.headers.get('content-type')]).toEqual([path, 200, type]);
      expect(answer.headers.get('content-security-policy')).toMatch(/^default-src 'none'; script-src 'self'; /);
      expect(answer.headers.get('content-security-policy')).not.toContain('unsafe');
      expect(answer.headers.get('x-frame-options')).toBe('DENY');
      expect((await answer.text()).length).toBeGreaterThan(100);
    }
    for (const path of ['/dashboard/index.html', '/dashboard/../route.js', '/dashboard/none.js']) {
      expect((await get(path)).status).toBe(404);
    }
  });

  test('is included in the installation', () => {
    const built = join(__dirname, '../../../../dist/event/dashboard');
    if (!existsSync(built)) return;
    expect(readdirSync(join(built, 'page')).sort()).toEqual(readdirSync(PAGE).sort());
  });

  test('redirects from a trailing slash, and accepts only GET and HEAD', async () => {
    const answer = await get('/dashboard/');
    expect([answer.status, answer.headers.get('location')]).toEqual([301, '../dashboard']);
    for (const path of ['/dashboard', '/dashboard/events']) {
      expect((await get(path, { method: 'POST' })).status).toBe(405);
      const head = await get(path, { method: 'HEAD' });
      expect([head.status, await head.text()]).toEqual([200, '']);
    }
  });

  test('takes one snapshot for at most 32 watchers', async () => {
    const before = taken;
    const stopping = new AbortController();
    const watchers = await Promise.all(
      Array.from({ length: 32 }, () => get('/dashboard/events', { signal: stopping.signal })),
    );
    expect(watchers.map(({ status }) => status)).toEqual(Array(32).fill(200));
    const texts = await Promise.all(
      watchers.map(async ({ body }) => Buffer.from((await body?.getReader().read())?.value ?? []).toString()),
    );
    for (const text of texts) expect(text).toMatch(/event: now\ndata: \{"atMs":\d+,"version":"1",[^\n]+\n\n/);
    expect(taken - before).toBeLessThanOrEqual(2);
    const more = await get('/dashboard/events');
    expect([more.status, await more.text()]).toEqual([429, '32 clients look at the dashboard already\n']);
    stopping.abort();
    await until('they are gone', async () => {
      const again = new AbortController();
      const { status } = await get('/dashboard/events', { signal: again.signal });
      again.abort();
      return status === 200;
    });
  });

  test('ends its streams when the worker stops', async () => {
    const answer = await get('/dashboard/events');
    route.close();
    expect(await answer.text()).toContain('event: settings');
    expect((await get('/dashboard/events')).status).toBe(503);
    expect((await get('/dashboard')).status).toBe(200);
  });
});
