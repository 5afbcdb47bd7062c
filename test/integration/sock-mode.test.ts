/** server_mode "sock" over the real helper: the view of its client, and what remains afterwards. */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { listenTcp, type Listener } from '../../src/event/http/listeners';
import { buildSockServer } from '../../src/event/sock-mode';
import { CodeDirs } from '../../src/lambda/code/directories';
import type { Intake } from '../../src/lambda/code/intake/intake';
import { openStore } from '../../src/lambda/registry/open-store';
import { Registry } from '../../src/lambda/registry/registry';
import { SockSandboxes } from '../../src/lambda/sock/sock-sandboxes';
import { WorkerMetrics } from '../../src/metrics/prometheus';
import { ZygoteMaker } from '../../src/zygote/fleet/zygote-maker';
import { UNMEASURED } from '../../src/zygote/policy/params';
import { LIMITS, Rig, whyNoHelper } from '../support/real-sandboxes';
import { testIntake } from '../support/in-process-worker';
import { until } from '../support/until';

const real = whyNoHelper() === undefined || process.env.ARGYLE_MUST_WORK !== undefined ? describe : describe.skip;
const LOG = { debug: () => undefined, info: () => undefined, warn: () => undefined };
const ECHO = 'import sys\ndef f(event):\n    return {"event": event, "has": "greeter" in sys.modules}\n';
const NATIVE = `#include <stdio.h>
int main(int argc, char **argv) {
  char event[4096];
  size_t size = fread(event, 1, sizeof event, stdin);
  printf("{\\"native\\": %.*s}", (int)size, event);
  return 0;
}
`;

real('sock mode', () => {
  jest.setTimeout(60_000);
  let rig: Rig;
  let sandboxes: SockSandboxes;
  let listener: Listener;
  let intake: Intake;
  let idle: Awaited<ReturnType<Rig['counts']>>;
  const agent = new Agent({ keepAliveTimeout: 10, keepAliveMaxTimeout: 10 });

  beforeAll(async () => {
    rig = new Rig({ poolMb: 160 });
    rig.addPackage('greeter==1.0', 'NAME = "greeter"\n');
    rig.slots.start();
    await until('slots are ready', () => rig.slots.ready === 4);
    idle = await rig.counts();
    intake = testIntake(rig.dir);
    sandboxes = new SockSandboxes({
      factory: rig.factory,
      maker: new ZygoteMaker({
        slots: rig.slots,
        pool: rig.pool,
        zygoteLimits: LIMITS,
        costOf: () => UNMEASURED,
        onImported: () => undefined,
        onExclude: () => undefined,
      }),
      packages: {
        ensureInstalled: (text) => Promise.resolve(text.split('\n').map((spec) => rig.packageOf(spec))),
      },
      intake,
      dirs: new CodeDirs(join(rig.dir, 'worker/code'), LOG, intake.remove),
      scratchDir: join(rig.dir, 'worker/scratch'),
      limits: LIMITS,
      settledMs: 0,
    });
    const registry = await Registry.create(await openStore(join(rig.dir, 'registry')), intake, 0);
    const metrics = new WorkerMetrics();
    const app = buildSockServer({ sandboxes, registry, stats: rig.stats, metrics, log: LOG, adminToken: '' });
    listener = await listenTcp(app, '127.0.0.1', 0);
    mkdirSync(join(rig.dir, 'echo/lib'), { recursive: true });
    writeFileSync(join(rig.dir, 'echo/f.py'), ECHO);
    writeFileSync(join(rig.dir, 'echo/lib/x.py'), '');
    execFileSync('tar', ['-czf', join(rig.dir, 'echo.tar.gz'), '-C', join(rig.dir, 'echo'), '.']);
    mkdirSync(join(rig.dir, 'native'));
    writeFileSync(join(rig.dir, 'f.c'), NATIVE);
    execFileSync('cc', ['-O1', '-o', join(rig.dir, 'native/f.bin'), join(rig.dir, 'f.c')]);
    chmodSync(join(rig.dir, 'native/f.bin'), 0o755);
  });

  /** Views of packages stay. */
  const codes = () => readdirSync(join(rig.dir, 'worker/code')).filter((name) => !name.startsWith('packages-'));

  afterEach(async () => {
    await until('slots are ready', () => rig.slots.ready === 4);
    await until('memory is given back', () => rig.pool.usedMb === 0);
    // One copy of each code, kept for later sandboxes.
    expect(codes().length).toBeLessThanOrEqual(4);
    expect(readdirSync(join(rig.dir, 'worker/scratch')).filter((name) => !name.endsWith('.sock'))).toEqual([]);
    expect(await rig.counts()).toEqual(idle);
  });

  afterAll(async () => {
    await listener.close(0);
    await sandboxes.close();
    expect(codes()).toEqual([]);
    await intake.close();
    await agent.close();
    await rig.close();
  });

  const op = async (path: string, body?: unknown, method = 'POST'): Promise<{ status: number; text: string }> => {
    const answer = await fetch(`http://127.0.0.1:${listener.port}/${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, text: await answer.text() };
  };
  const made = async (body: unknown): Promise<string> => {
    const { status, text } = await op('create', body);
    expect({ status, text }).toEqual({ status: 200, text: expect.stringMatching(/^\d+\n$/) as string });
    return text.trim();
  };
  const invoke = async (id: string, event: unknown): Promise<unknown> => {
    const socketPath = join(rig.dir, 'worker/scratch', id, 'ol.sock');
    const dispatcher = new Agent({ connect: { socketPath }, pipelining: 0 });
    const { statusCode, body } = await request('http://root/run/x', {
      method: 'POST',
      body: JSON.stringify(event),
      dispatcher,
    });
    const text = await body.text();
    await dispatcher.close();
    expect({ statusCode, text }).toMatchObject({ statusCode: 200 });
    return JSON.parse(text);
  };

  it('makes a leaf from a directory, which its client calls repeatedly on its own socket', async () => {
    const id = await made({ code: join(rig.dir, 'echo') });
    expect(id).toBe('1');
    expect(await invoke(id, { x: 1 })).toEqual({ event: { x: 1 }, has: false });
    expect(await invoke(id, { x: 2 })).toEqual({ event: { x: 2 }, has: false });
    expect((await op('debug')).text).toMatch(/^SOCK 1\n[^]*FREEZE STATE: THAWED\n[^]*--------\n$/);
    // A client of the original finds the socket by this line.
    expect((await op('debug')).text).toContain(`\nHOST DIR: ${join(rig.dir, 'worker/scratch/1')}\n`);
    expect(await op(`pause/${id}`)).toEqual({ status: 200, text: '' });
    // The kernel reports the state a moment after the request.
    await until('it is frozen', async () => (await op('debug')).text.includes('FREEZE STATE: FROZEN\n'));
    expect(await op(`unpause/${id}`)).toEqual({ status: 200, text: '' });
    expect(await invoke(id, 3)).toEqual({ event: 3, has: false });
    expect(await op(`destroy/${id}`)).toEqual({ status: 200, text: '' });
    // As in the original, a destroyed sandbox may be destroyed again. Other operations are refused.
    expect(await op(`destroy/${id}`)).toEqual({ status: 200, text: '' });
    expect(await op(`unpause/${id}`)).toEqual({ status: 500, text: `sandbox '${id}' was destroyed\n` });
    expect(await op('debug')).toEqual({ status: 200, text: '' });
  });

  it('shares one copy of the code until it changes; running sandboxes keep theirs', async () => {
    const code = join(rig.dir, 'changing');
    mkdirSync(code);
    writeFileSync(join(code, 'f.py'), 'def f(event):\n    return open("/handler/x").read()\n');
    writeFileSync(join(code, 'x'), 'old');
    const first = await made({ code });
    const copies = readdirSync(join(rig.dir, 'worker/code'));
    const second = await made({ code });
    expect(readdirSync(join(rig.dir, 'worker/code'))).toEqual(copies);
    await new Promise((resolve) => setTimeout(resolve, 20));
    writeFileSync(join(code, 'x'), 'new');
    const third = await made({ code });
    expect(await invoke(first, null)).toBe('old');
    expect(await invoke(third, null)).toBe('new');
    for (const id of [first, second, third]) await op(`destroy/${id}`);
  });

  it('makes leaves from an archive, and from a native program', async () => {
    const python = await made({ code: join(rig.dir, 'echo.tar.gz') });
    expect(await invoke(python, 'a')).toEqual({ event: 'a', has: false });
    const native = await made({ code: join(rig.dir, 'native'), runtime: 'native' });
    expect(await invoke(native, { y: 1 })).toEqual({ native: { y: 1 } });
    await op(`destroy/${python}`);
    await op(`destroy/${native}`);
  });

  it('forks leaves from parents, if the leaf requires all packages of the parent', async () => {
    const root = await made({ code: '', leaf: false });
    const zygote = await made({ code: '', leaf: false, parent: root, pkgs: ['greeter==1.0'] });
    const lines = `SOCK ${zygote}\n[^]*CGROUP PIDS: [^]*FREEZE STATE: THAWED\nMEMORY USED: [^]*OOM KILLS: 0\nZYGOTE OF: greeter==1\n`;
    expect((await op('debug')).text).toMatch(new RegExp(lines));
    const leaf = await made({ code: join(rig.dir, 'echo'), parent: zygote, pkgs: ['greeter==1.0'] });
    expect(await invoke(leaf, 1)).toEqual({ event: 1, has: true });
    expect(await op('create', { code: join(rig.dir, 'echo'), parent: zygote })).toEqual({
      status: 500,
      text: `parent '${zygote}' has imported greeter==1, which pkgs does not list\n`,
    });
    expect((await op('create', { code: join(rig.dir, 'echo'), parent: leaf })).text).toBe(
      `sandbox '${leaf}' is a leaf and cannot be a parent\n`,
    );
    for (const id of [root, zygote]) expect(await op(`destroy/${id}`)).toEqual({ status: 200, text: '' });
    expect((await op('debug')).text).toMatch(new RegExp(`^SOCK ${leaf}\n`));
    // Sandboxes that were forked from them live on.
    expect(await invoke(leaf, 2)).toEqual({ event: 2, has: true });
    await op(`destroy/${leaf}`);
  });

  it('blocks /create until memory is free', async () => {
    const first = await Promise.all([1, 2, 3].map(() => made({ code: join(rig.dir, 'echo') })));
    let done = false;
    const fourth = made({ code: join(rig.dir, 'echo') }).finally(() => (done = true));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(done).toBe(false);
    await op(`destroy/${first[0] ?? ''}`);
    for (const id of [...first.slice(1), await fourth]) await op(`destroy/${id}`);
  });

  it('answers every error with 500 and one line', async () => {
    expect(await op('create', undefined, 'GET')).toEqual({ status: 500, text: 'Only POST allowed (found GET)\n' });
    expect(await op('frobnicate/1')).toEqual({ status: 500, text: 'unknown op frobnicate\n' });
    for (const verb of ['destroy', 'pause', 'unpause']) {
      expect(await op(`${verb}/x`)).toEqual({ status: 500, text: "no sandbox found with ID 'x'\n" });
    }
    expect(await op('create', { code: '', parent: '77' })).toMatchObject({ status: 500 });
    expect(await op('create', { code: 'x', leaf: true, parent: '77' })).toEqual({
      status: 500,
      text: "no sandbox found with ID '77'\n",
    });
    expect((await op('create', { code: '/nowhere' })).status).toBe(500);
    expect((await op('create', { code: '/nowhere.tar.gz' })).status).toBe(500);
    expect(existsSync(join(rig.dir, 'worker/code'))).toBe(true);
  });

  it.each([[{}], [{ code: 1 }], [{ code: 'x', leaf: 'yes' }], [{ code: 'x', parent: 3 }], [{ code: 'x', pkgs: 'a' }]])(
    'closes the connection without an answer for %j',
    async (body) => {
      const text = JSON.stringify(body);
      const answer = await new Promise<string>((resolve) => {
        const socket = createConnection(listener.port, '127.0.0.1');
        let got = '';
        socket.on('data', (chunk: Buffer) => (got += chunk.toString()));
        socket.on('error', () => undefined);
        socket.on('close', () => {
          resolve(got);
        });
        socket.write(`POST /create HTTP/1.1\r\nHost: x\r\nContent-Length: ${text.length}\r\n\r\n${text}`);
      });
      expect(answer).toBe('');
    },
  );

  it('serves the routes that both modes have', async () => {
    expect(await op('status', undefined, 'GET')).toEqual({ status: 200, text: 'ready\n' });
    expect((await op('registry/', undefined, 'GET')).text).toBe('[]\n');
  });
});
