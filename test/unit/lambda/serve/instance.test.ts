import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { CodeVersion } from '../../../../src/lambda/code/version';
import { Instance } from '../../../../src/lambda/serve/instance';
import { PauseTurns } from '../../../../src/lambda/serve/pause-turns';
import { defaultLambdaConfig } from '../../../../src/lambda/code/lambda-config';
import { ArgyleError } from '../../../../src/errors';
import { StatsRegistry } from '../../../../src/metrics';
import { GuestFailure } from '../../../../src/sandbox/answer/failure';
import type { LeafBoot, Sandbox } from '../../../../src/sandbox/types';
import { until } from '../../../support/until';
import { LocalProvider } from '../../../support/process-sandboxes';
import {
  guard,
  ScriptedClient,
  ScriptedSandbox,
  settle,
  type ScriptedRequest,
} from '../../../support/scripted-sandbox';

const LOG = { debug: () => undefined, info: () => undefined, warn: () => undefined };

describe('Instance', () => {
  let dir: string;
  let provider: LocalProvider;
  let released = 0;
  const options = {
    stats: new StatsRegistry(),
    log: LOG,
    pauseAfterMs: -1,
    now: () => performance.now(),
    pauses: new PauseTurns(),
  };

  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'instance-'));
    await writeFile(path.join(dir, 'f.py'), 'def f(event): return 1\n');
    provider = new LocalProvider(dir);
    released = 0;
  });
  afterEach(async () => {
    await provider.close();
    await rm(dir, { recursive: true });
  });

  async function make(): Promise<[Sandbox, CodeVersion]> {
    const common = { name: 'f', runtime: 'python', env: {} } as const;
    const boot: LeafBoot = { ...common, role: 'leaf', entry_file: 'f.py', sys_path: [] };
    const limits = { memMb: 50, procs: 10, cpuPercent: 100, swapBytes: 0, scratchMb: 64 };
    const sandbox = await provider.create({ boot, codeName: '.', limits, packages: [] });
    const config = defaultLambdaConfig();
    const facts = { ...common, codeName: '.', dir, version: '1', config, entryFile: 'f.py', packages: [] };
    return [sandbox, new CodeVersion(facts, () => released++)];
  }

  /** Serves one request. */
  async function serveOnce(instance: Instance, sandbox: ScriptedSandbox): Promise<void> {
    instance.unpark();
    const served = instance.serve(new ScriptedClient().invocation('/a'), 0);
    await settle();
    sandbox.requests.pop()?.answer('1');
    await served;
  }

  test('that ends by itself before its first request is at fault; an evicted one is not', async () => {
    const [dies, code] = await make();
    const dead = new Instance(dies, code, options);
    process.kill(dies.pid, 'SIGKILL');
    await dies.life.exited;
    expect([dead.usable, dead.failedStart, dead.departure]).toEqual([false, true, 'ended']);

    const idle = guard(new ScriptedSandbox());
    const evicted = new Instance(idle, (await make())[1], options);
    await idle.reclaim('destroy');
    expect([evicted.failedStart, evicted.departure]).toEqual([false, 'evicted']);
  });

  test('counts as made for the call that waited for it, and for no other call', async () => {
    const code = (await make())[1];
    let clock = 1000;
    const sandbox = new ScriptedSandbox();
    const instance = new Instance(guard(sandbox), code, { ...options, now: () => clock, madeMs: 7, cause: 'busy' });
    expect([instance.making(990), instance.making(1001)]).toEqual([
      { start: 'fresh', tier: undefined, ms: 7, cause: 'busy' },
      undefined,
    ]);
    clock = 1010;
    await serveOnce(instance, sandbox);
    expect(instance.making(990)).toBeUndefined();
  });

  test('is not paused when a request arrives before the pause has its turn', async () => {
    const code = (await make())[1];
    const turns: (() => Promise<void>)[] = [];
    const pauses = { add: (pause: () => Promise<void>) => void turns.push(pause) };
    const sandbox = new ScriptedSandbox();
    const instance = new Instance(guard(sandbox), code, { ...options, pauses, pauseAfterMs: 0 });
    const serve = async (): Promise<void> => {
      await serveOnce(instance, sandbox);
      instance.leave();
      instance.park();
    };
    await serve();
    await until('the first pause waits', () => turns.length === 1);
    await serve();
    await until('the second pause waits', () => turns.length === 2);
    await turns[0]?.();
    expect(instance.sandbox.life.isPaused).toBe(false);
    await turns[1]?.();
    expect(instance.sandbox.life.isPaused).toBe(true);
    await instance.destroy('the test is over');
  });

  test('ended with its helper when a pause is refused because the helper has ended', async () => {
    const code = (await make())[1];
    const paused = async (refusal: ArgyleError): Promise<string> => {
      const sandbox = new ScriptedSandbox();
      sandbox.pause = () => Promise.reject(refusal);
      const instance = new Instance(guard(sandbox), code, { ...options, pauseAfterMs: 0 });
      await serveOnce(instance, sandbox);
      instance.leave();
      instance.park();
      await until('the instance is destroyed', () => !instance.usable);
      return instance.departure;
    };
    expect(await paused(new ArgyleError('HELPER_GONE', 'the helper ended'))).toBe('helper');
    expect(await paused(new ArgyleError('SANDBOX_CREATE', 'it cannot be frozen'))).toBe('ended');
  });

  test('releases its code once, when its sandbox is gone', async () => {
    const [sandbox, code] = await make();
    const instance = new Instance(sandbox, code, options);
    expect(await instance.describe()).toBe('SOCK 1\n');
    await Promise.all([instance.destroy('test'), instance.destroy('again')]);
    expect([released, sandbox.life.end?.why, instance.usable]).toEqual([1, 'test', false]);
    expect(await instance.describe()).toBe('SANDBOX 1 is DEAD: test\n');
  });

  test('describes a sandbox that does not answer within 1 s', async () => {
    const [sandbox, code] = await make();
    const silent = Object.create(sandbox) as Sandbox;
    silent.debugString = () => new Promise(() => undefined);
    const begin = performance.now();
    expect(await new Instance(silent, code, options).describe()).toBe('SANDBOX 1 does not answer\n');
    expect(performance.now() - begin).toBeLessThan(2000);
  });

  describe('with several requests', () => {
    /** Fails two requests of one instance in the given order. Returns the errors by path. */
    async function endOfBoth(fail: (request: ScriptedRequest[]) => void): Promise<Record<string, string>> {
      const facts = (await make())[1].facts;
      const code = new CodeVersion({ ...facts, config: { ...facts.config, concurrency: 2 } }, () => undefined);
      const sandbox = new ScriptedSandbox();
      const instance = new Instance(guard(sandbox), code, options);
      const errors: Record<string, string> = {};
      const calls = ['/a', '/b'].map(async (path) => {
        instance.unpark();
        await instance.serve(new ScriptedClient().invocation(path), 0).catch((thrown: unknown) => {
          errors[path] = String(thrown);
        });
        instance.leave();
      });
      await settle();
      for (const request of sandbox.requests) request.sent();
      fail(sandbox.requests);
      await Promise.all(calls);
      return errors;
    }
    const DEAD = new ArgyleError('SANDBOX_DEAD', 'sandbox 1 is dead: its first process ended');
    const REPORT = new GuestFailure('the function could not be loaded: no f', 'Traceback');

    test.each([
      ['before', [0, 1]],
      ['after', [1, 0]],
    ])(
      "all get the guest's report, which arrives %s the end of the other connection",
      async (_order, [first, then]) => {
        const errors = await endOfBoth((requests) => {
          const failures = [REPORT, DEAD];
          for (const at of [first, then]) requests[at ?? 0]?.handler.onError(failures[at ?? 0] ?? DEAD);
        });
        for (const path of ['/a', '/b']) {
          expect(errors[path]).toContain(`Post "http://root${path}": the function could not be loaded: no f`);
          expect(errors[path]).toMatch(/\nTraceback$/);
        }
      },
    );

    test('name the end of the sandbox when there is no report', async () => {
      const errors = await endOfBoth((requests) => {
        for (const { handler } of requests) handler.onError(DEAD);
      });
      expect(errors['/b']).toContain('Post "http://root/b": sandbox 1 is dead: its first process ended');
    });
  });
});
