import { CodeVersion } from '../../../../src/lambda/code/version';
import { defaultLambdaConfig, type LambdaConfig } from '../../../../src/lambda/code/lambda-config';
import { InstancePool } from '../../../../src/lambda/serve/instance-pool';
import { PauseTurns } from '../../../../src/lambda/serve/pause-turns';
import { StartGate } from '../../../../src/lambda/serve/start/start-gate';
import type { LambdaSettings } from '../../../../src/lambda/settings';
import { ArgyleError } from '../../../../src/errors';
import { StatsRegistry } from '../../../../src/metrics';
import type { GuardedSandbox } from '../../../../src/sandbox/guarded';
import type { Sandbox } from '../../../../src/sandbox/types';
import { guard, ScriptedClient, ScriptedSandbox, settle } from '../../../support/scripted-sandbox';
import { until } from '../../../support/until';
import { LIMITS } from '../../../support/in-process-worker';

const SETTINGS: LambdaSettings = {
  codeDir: '/nowhere',
  registryCacheMs: 0,
  functionQueue: 100,
  instanceQueue: 2,
  maxInstances: 1,
  pauseAfterMs: -1,
  surplusIdleMs: 1000,
  limits: LIMITS,
  showErrors: true,
  memPoolMb: 1000,
};

describe('InstancePool', () => {
  let made: ScriptedSandbox[];
  /** The guards of the made sandboxes. The instances hold them. */
  let guards: GuardedSandbox[];
  /** Each start of a sandbox waits for its promise, and fails with its error. */
  let starting: () => Promise<void>;
  let pool: InstancePool;
  let released: number;
  let versions: number;
  const warnings: string[] = [];

  /** Gives the pool new code. */
  function setCode(config: Partial<LambdaConfig> = {}): void {
    const facts = { name: 'f', codeName: `1-f-${++versions}`, dir: '/nowhere', version: '1', entryFile: 'f.py' };
    const rest = { runtime: 'python' as const, env: {}, packages: [], config: { ...defaultLambdaConfig(), ...config } };
    const code = new CodeVersion({ ...facts, ...rest }, () => released++);
    pool.setCode(code);
    code.release();
  }
  function make(settings: Partial<LambdaSettings> = {}, config: Partial<LambdaConfig> = {}): void {
    [made, guards, released, versions, warnings.length] = [[], [], 0, 0, 0];
    starting = () => Promise.resolve();
    const create = async (): Promise<Sandbox> => {
      await starting();
      const sandbox = new ScriptedSandbox(String(made.length + 1));
      made.push(sandbox);
      guards.push(guard(sandbox));
      return guards.at(-1) as Sandbox;
    };
    const log = {
      debug: () => undefined,
      info: () => undefined,
      warn: (_: object, text: string) => warnings.push(text),
    };
    const now = (): number => performance.now();
    pool = new InstancePool('f', {
      provider: { create },
      settings: { ...SETTINGS, ...settings },
      stats: new StatsRegistry(),
      log,
      now,
      gate: new StartGate(4, now),
      pauses: new PauseTurns(),
      onStarted: () => undefined,
    });
    setCode(config);
  }
  beforeEach(() => make());
  afterEach(async () => {
    for (const { requests } of made) for (const request of requests) request.answer('');
    await pool.close(Promise.resolve());
  });

  interface Sent extends ScriptedClient {
    /** 'answered', or the code of the refusal. */
    result?: string;
  }
  function send(): Sent {
    const client: Sent = new ScriptedClient();
    pool.submit(client.invocation()).then(
      () => (client.result = 'answered'),
      (error: unknown) => (client.result = error instanceof ArgyleError ? error.code : String(error)),
    );
    return client;
  }
  /** The request with this number that the sandbox got. */
  const request = async (sandbox: number, number: number) => {
    await until('it is served', () => made[sandbox]?.requests[number] !== undefined);
    const found = made[sandbox]?.requests[number];
    if (found === undefined) throw new Error('it is gone');
    return found;
  };

  test('serves requests with one instance in the order of their arrival', async () => {
    const clients = [send(), send()];
    (await request(0, 0)).answer('one');
    (await request(0, 1)).answer('two');
    await settle();
    expect(clients.map(({ text, result }) => [text, result])).toEqual([
      ['one', 'answered'],
      ['two', 'answered'],
    ]);
    expect(made).toHaveLength(1);
    expect(pool.counts).toEqual({ queued: 0, busy: 0, idle: 1, paused: 0, starting: 0 });
  });

  test('refuses requests above its queue, with Retry-After', async () => {
    send();
    await request(0, 0);
    const waiting = [send(), send()];
    await expect(pool.submit(new ScriptedClient().invocation())).rejects.toMatchObject({
      code: 'INSTANCE_QUEUE_FULL',
      retryAfterSec: 1,
    });
    expect([pool.counts.queued, pool.counts.busy]).toEqual([2, 1]);
    (await request(0, 0)).answer('');
    (await request(0, 1)).answer('');
    (await request(0, 2)).answer('');
    await settle();
    expect(waiting.map(({ result }) => result)).toEqual(['answered', 'answered']);
  });

  test('answers one request with the error of a failed start, and serves the next request', async () => {
    starting = () => Promise.reject(new ArgyleError('MEMORY_EXHAUSTED', 'no memory'));
    const first = send();
    await settle();
    expect([first.result, warnings]).toEqual(['MEMORY_EXHAUSTED', ['could not make a sandbox']]);
    expect([pool.empty, released]).toEqual([true, 0]);
    starting = () => Promise.resolve();
    const second = send();
    (await request(0, 0)).answer('works');
    await settle();
    expect([second.text, second.result]).toEqual(['works', 'answered']);
  });

  test('answers no request with the error of a failed start while another instance serves', async () => {
    make({ maxInstances: 2 });
    const first = send();
    await request(0, 0);
    starting = () => Promise.reject(new ArgyleError('SANDBOX_CREATE', 'no slot'));
    const second = send();
    await until('it was tried', () => warnings.length > 0);
    expect(second.result).toBeUndefined();
    (await request(0, 0)).answer('one');
    (await request(0, 1)).answer('two');
    await settle();
    expect([first.text, second.text, second.result]).toEqual(['one', 'two', 'answered']);
  });

  test("repeats a start that the helper's end interrupted with the next helper", async () => {
    let starts = 0;
    starting = () => (starts++ === 0 ? Promise.reject(new ArgyleError('HELPER_GONE', 'gone')) : Promise.resolve());
    const client = send();
    (await request(0, 0)).answer('again');
    await settle();
    expect([client.text, starts]).toEqual(['again', 2]);
  });

  test('fails one request for an instance that ends before its first request, and does not loop', async () => {
    let done: () => void = () => undefined;
    starting = () => new Promise((resolve) => (done = resolve));
    const client = send();
    await settle();
    client.leave();
    done();
    await until('it is idle', () => pool.counts.idle === 1);
    made[0]?.end({ status: 256 });
    await settle();
    starting = () => Promise.resolve();
    const next = send();
    await until('it is answered', () => next.result !== undefined);
    expect([next.result, made.length, made[0]?.calls]).toEqual(['SANDBOX_DEAD', 1, ['destroy']]);
    const third = send();
    (await request(1, 0)).answer('fine');
    await settle();
    expect(third.result).toBe('answered');
  });

  test('thaws an instance that the memory pool has paused for the next request', async () => {
    send();
    (await request(0, 0)).answer('');
    await settle();
    // The memory pool pauses the instance, not its own idle time.
    await guards[0]?.reclaim('pause');
    expect(pool.counts).toMatchObject({ idle: 0, paused: 1 });
    const client = send();
    (await request(0, 1)).answer('thawed');
    await settle();
    expect([client.text, made[0]?.calls]).toEqual(['thawed', ['dispatch', 'pause', 'resume', 'dispatch']]);
    expect(made).toHaveLength(1);
  });

  test('counts an evicted instance neither as idle nor as paused', async () => {
    send();
    (await request(0, 0)).answer('');
    await settle();
    await guards[0]?.reclaim('pause');
    await guards[0]?.reclaim('destroy');
    expect(pool.counts).toMatchObject({ idle: 0, paused: 0 });
  });

  test('gives up an instance that cannot be thawed, and sends its request to a new one', async () => {
    send();
    (await request(0, 0)).answer('');
    await settle();
    const [first] = guards;
    await first?.reclaim('pause');
    if (first !== undefined) first.resume = () => Promise.reject(new ArgyleError('MEMORY_EXHAUSTED', 'no memory'));
    const client = send();
    (await request(1, 0)).answer('new');
    await settle();
    expect([client.text, first?.life.end?.why]).toEqual(['new', 'could not be resumed']);
  });

  test('answers every request although a used instance died unnoticed', async () => {
    send();
    (await request(0, 0)).answer('');
    await settle();
    const client = send();
    (await request(0, 1)).fail('ECONNREFUSED');
    (await request(1, 0)).answer('second');
    await settle();
    expect([client.text, client.result, made[0]?.life.end?.why]).toEqual(['second', 'answered', 'found dead']);
  });

  test('makes no instance for a client that leaves while it waits', async () => {
    send();
    await request(0, 0);
    const leaves = send();
    leaves.leave();
    expect(pool.counts.queued).toBe(0);
    (await request(0, 0)).answer('');
    await settle();
    expect([leaves.result, made[0]?.requests.length, made.length]).toEqual(['answered', 1, 1]);
  });

  test('ends idle instances at once for new code, and busy ones after their request', async () => {
    const client = send();
    const running = await request(0, 0);
    setCode();
    const next = send();
    expect(made[0]?.life.end?.why).toBeUndefined();
    running.answer('old');
    await until('it has ended', () => made[0]?.life.end?.why !== undefined);
    (await request(1, 0)).answer('new');
    await settle();
    expect([client.text, next.text, released]).toEqual(['old', 'new', 1]);
    pool.setCode(undefined);
    await settle();
    expect([made[1]?.life.end?.why, released]).toEqual(['its code is out of date', 2]);
  });

  test('uses an instance of reuse-sandbox: false once', async () => {
    make({}, { reuseSandbox: false });
    send();
    (await request(0, 0)).answer('');
    await settle();
    expect([made[0]?.life.end?.why, pool.empty]).toEqual(['served its last request', true]);
  });

  test('ends instances that are idle for long, except for one', async () => {
    make({ maxInstances: 2, surplusIdleMs: 0 });
    send();
    send();
    (await request(0, 0)).answer('');
    (await request(1, 0)).answer('');
    await settle();
    expect(pool.counts.idle).toBe(2);
    await new Promise((resolve) => setTimeout(resolve, 5));
    pool.sweep();
    expect(pool.counts.idle).toBe(1);
  });

  test('keeps scale.min instances without a call, and replaces one that ends', async () => {
    make({ maxInstances: 3 }, { scale: { min: 2, max: 0 } });
    await until('they are there', () => pool.counts.idle === 2);
    void guards[0]?.reclaim('destroy');
    await settle();
    pool.sweep();
    await until('it is made up for', () => made.length === 3 && pool.counts.idle === 2);
  });

  test('close() answers waiting requests, lets running ones end, and leaves nothing', async () => {
    const running = send();
    const begun = await request(0, 0);
    const waits = send();
    let out = false;
    const closing = pool.close(new Promise(() => undefined)).then(() => (out = true));
    await settle();
    expect([waits.result, running.result, out]).toEqual(['SHUTTING_DOWN', undefined, false]);
    await expect(pool.submit(new ScriptedClient().invocation())).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    begun.answer('last');
    await closing;
    expect([running.text, made[0]?.life.end?.why, pool.empty, released]).toEqual([
      'last',
      'served its last request',
      true,
      1,
    ]);
  });

  test('close() waits for a running start, and ends its instance', async () => {
    let done: () => void = () => undefined;
    starting = () => new Promise((resolve) => (done = resolve));
    const client = send();
    await settle();
    let out = false;
    const closing = pool.close(Promise.resolve()).then(() => (out = true));
    await settle();
    expect([client.result, out]).toEqual(['SHUTTING_DOWN', false]);
    done();
    await closing;
    expect([made[0]?.calls, pool.empty, released]).toEqual([['destroy'], true, 1]);
  });
});
