/** The native runtime over the real helper. An archive with a static f.bin runs in lambda mode and in sock mode. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { invoke, packLambda, upload } from '../../support/deploy';
import { E2eWorker } from '../../support/spawned-worker';
import { NATIVE_MANY, buildStatic } from '../../support/native';
import { describePrivileged } from '../../support/privileged';

jest.setTimeout(process.env['ARGYLE_VM'] === '1' ? 600_000 : 120_000);

const YAML = 'environment:\n  GREETING: "hello"\n';

/** Makes a code directory with an f.bin. */
function makeCode(worker: E2eWorker, name: string, yaml = YAML): string {
  const dir = join(worker.top, name);
  mkdirSync(dir);
  buildStatic(NATIVE_MANY, join(dir, 'f.bin'));
  writeFileSync(join(dir, 'ol.yaml'), yaml);
  return dir;
}

describePrivileged('the native runtime in lambda mode', () => {
  const worker = new E2eWorker();
  beforeAll(async () => {
    await worker.init();
    await worker.up();
    const installed = await worker.ol('admin', 'install', `-p=${worker.dir}`, makeCode(worker, 'many'));
    expect(installed).toMatchObject({ code: 0 });
  });
  afterAll(() => worker.remove());

  it('runs a C program, confined like any handler, with the environment of its ol.yaml', async () => {
    const { status, headers, body } = await invoke(worker.url, 'many', 'tell');
    expect({ status, type: headers.get('content-type'), found: JSON.parse(body) as unknown }).toEqual({
      status: 200,
      type: 'application/json',
      found: {
        argument: 'tell',
        uid: 1000,
        greeting: 'hello',
        cwd: '/handler',
        writable: 0,
        mount: constants.errno.ENOSYS,
        no_new_privs: 1,
      },
    });
  });

  it('takes the result from /tmp/output for a request that writes it', async () => {
    expect((await invoke(worker.url, 'many', 'file')).body).toBe('"from the file"');
    expect((await invoke(worker.url, 'many', 1)).body).toBe('{"size":1,"arguments":1}');
  });

  it('passes {} for an empty body, and a large event only on standard input', async () => {
    expect((await invoke(worker.url, 'many')).body).toBe('{"size":2,"arguments":1}');
    expect((await invoke(worker.url, 'many', 'x'.repeat(500_000))).body).toBe('{"size":500002,"arguments":0}');
  });

  it('answers 500 with standard error when the program fails, and serves the next request', async () => {
    const failed = await invoke(worker.url, 'many', 'fail');
    expect([failed.status, failed.body]).toEqual([500, 'f.bin ended with code 3\nit went wrong\n']);
    const crashed = await invoke(worker.url, 'many', 'crash');
    expect([crashed.status, crashed.body]).toEqual([500, 'f.bin ended with code -6\n']);
    expect((await invoke(worker.url, 'many', 1)).status).toBe(200);
    expect(worker.output()).toContain('it went wrong');
  });

  it('ends a program above its memory or time limit, with its sandbox', async () => {
    const ate = await invoke(worker.url, 'many', 'eat');
    expect([500, 502]).toContain(ate.status);
    const dir = makeCode(worker, 'quick', `${YAML}limits:\n  runtime_sec: 1\n`);
    expect((await upload(worker.url, 'quick', await packLambda(dir))).status).toBe(201);
    const hung = await invoke(worker.url, 'quick', 'hang');
    expect([hung.status, hung.body]).toEqual([502, expect.stringContaining('Client.Timeout exceeded')]);
    expect((await invoke(worker.url, 'quick', 1)).status).toBe(200);
    expect((await invoke(worker.url, 'many', 1)).status).toBe(200);
  });

  it('runs a shell script, and reports an f.bin that is not executable', async () => {
    const dir = join(worker.top, 'script');
    mkdirSync(dir);
    writeFileSync(join(dir, 'f.bin'), '#!/bin/sh\nread -r event\necho "[$event, $1]"\n');
    chmodSync(join(dir, 'f.bin'), 0o755);
    await upload(worker.url, 'script', await packLambda(dir));
    expect((await invoke(worker.url, 'script', 7)).body).toBe('[7, 7]\n');
    chmodSync(join(dir, 'f.bin'), 0o644);
    await upload(worker.url, 'plain', await packLambda(dir));
    expect((await invoke(worker.url, 'plain', 7)).status).toBe(502);
    expect(worker.output()).toContain('f.bin: the file is not executable');
  });
});

describePrivileged('the native runtime in sock mode', () => {
  const worker = new E2eWorker({ config: { server_mode: 'sock' } });
  beforeAll(async () => {
    await worker.init();
    await worker.up();
  });
  afterAll(() => worker.remove());

  it('runs a C program for a client that uses its socket directly', async () => {
    const op = async (path: string, body?: unknown): Promise<string> =>
      (await fetch(`${worker.url}/${path}`, { method: 'POST', body: JSON.stringify(body) })).text();
    const code = makeCode(worker, 'many');
    writeFileSync(join(code, '.env'), 'GREETING=hello\n');
    expect(await op('create', { code, runtime: 'native' })).toBe('1\n');
    const socketPath = join(worker.dir, 'worker/scratch/1/ol.sock');
    const call = async (event: unknown): Promise<unknown> => {
      const dispatcher = new Agent({ connect: { socketPath }, pipelining: 0 });
      const sent = { method: 'POST', body: JSON.stringify(event), dispatcher } as const;
      const { body } = await request('http://root/run/x', sent);
      const text = await body.text();
      await dispatcher.close();
      return JSON.parse(text);
    };
    expect(await call('tell')).toMatchObject({ argument: 'tell', uid: 1000, greeting: 'hello', no_new_privs: 1 });
    expect(await op('pause/1')).toBe('');
    expect(await op('unpause/1')).toBe('');
    expect(await call('file')).toBe('from the file');
    expect(await op('destroy/1')).toBe('');
  });
});
