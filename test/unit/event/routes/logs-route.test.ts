import { mkdtempSync, rmSync } from 'node:fs';
import * as http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FunctionLogs } from '../../../../src/log/functions/store';
import { until } from '../../../support/until';
import { call, startWorker, type TestWorker } from '../../../support/in-process-worker';

describe('GET /logs/<name>', () => {
  let worker: TestWorker;
  let logs: FunctionLogs;
  const dir = mkdtempSync(join(tmpdir(), 'logs-route-'));
  const auth = { Authorization: 'Bearer t' };
  const get = (path: string, method = 'GET') => call(worker, path, { headers: auth, method });
  const followers = () => (Reflect.get(logs, 'followers') as Map<string, unknown>).size;
  const write = (text: string) => {
    logs.write({ lambda: 'f', sandbox: '1', requestId: 'r', stream: 'stdout', text });
  };
  const messages = (body: string) =>
    body
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (JSON.parse(line) as { msg: string }).msg);

  beforeAll(async () => {
    logs = new FunctionLogs({ dir, functionBytes: 1 << 20, totalBytes: 1 << 24 });
    worker = await startWorker({ logs, adminToken: 't' });
    await worker.deploy('silent', { 'f.py': 'def f(event): return 1\n' });
    for (const text of ['one', 'two', 'three']) write(text);
  });
  afterAll(async () => {
    await worker.close();
    await logs.close();
    rmSync(dir, { recursive: true });
  });

  test('answers with lines of JSON', async () => {
    const reply = await get('/logs/f');
    expect([reply.status, reply.headers['content-type']]).toEqual([200, 'application/x-ndjson']);
    expect(messages(reply.body)).toEqual(['one', 'two', 'three']);
    expect(messages((await get('/logs/f?tail=1')).body)).toEqual(['three']);
    expect((await get('/logs/f?since=2100-01-01')).body).toBe('');
    expect((await get('/logs/silent')).body).toBe('');
  });

  test.each([
    ['/logs/none', 404, 'LAMBDA_NOT_FOUND'],
    ['/logs/', 400, 'LAMBDA_NAME'],
    ['/logs/a%2Fb', 400, 'LAMBDA_NAME'],
    ['/logs/f?tail=x', 400, 'REQUEST_INVALID'],
  ])('%s is refused with %i', async (path, status, code) => {
    const reply = await get(path);
    expect([reply.status, reply.headers['x-argyle-error']]).toEqual([status, code]);
  });

  test('requires the token, and accepts only GET', async () => {
    expect((await call(worker, '/logs/f')).status).toBe(401);
    expect((await get('/logs/f', 'DELETE')).status).toBe(405);
  });

  test('sends new lines until its client leaves', async () => {
    const came: string[] = [];
    const { port } = worker.listener;
    const request = http.get({ host: '127.0.0.1', port, path: '/logs/f?follow=1&tail=1', headers: auth, agent: false });
    request.on('response', (res) => res.on('data', (chunk: Buffer) => came.push(chunk.toString())));
    request.on('error', () => undefined);
    await until('the end of the log came', () => messages(came.join('')).length === 1, 5000);
    write('four');
    write('five');
    await until('the rest came', () => messages(came.join('')).length === 3, 5000);
    expect(messages(came.join(''))).toEqual(['three', 'four', 'five']);
    request.destroy();
    await until('it is forgotten', () => followers() === 0, 5000);
  });

  test('sends new lines of a function without a log', async () => {
    const came: string[] = [];
    const { port } = worker.listener;
    const request = http.get({ host: '127.0.0.1', port, path: '/logs/silent?follow', headers: auth, agent: false });
    request.on('response', (res) => res.on('data', (chunk: Buffer) => came.push(chunk.toString())));
    request.on('error', () => undefined);
    await until('it is followed', () => followers() === 1, 5000);
    logs.write({ lambda: 'silent', sandbox: '', requestId: '', stream: 'worker', text: 'first' });
    await until('it came', () => messages(came.join('')).length === 1, 5000);
    request.destroy();
  });
});
