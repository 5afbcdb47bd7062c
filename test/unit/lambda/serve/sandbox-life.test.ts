/** All readers of a sandbox's state agree: its guest, its life, its instance, the leaf registry and the memory pool. */
import fc from 'fast-check';
import { CodeVersion } from '../../../../src/lambda/code/version';
import { defaultLambdaConfig } from '../../../../src/lambda/code/lambda-config';
import { Instance } from '../../../../src/lambda/serve/instance';
import { PauseTurns } from '../../../../src/lambda/serve/pause-turns';
import { ArgyleError } from '../../../../src/errors';
import { StatsRegistry } from '../../../../src/metrics';
import type { GuardedSandbox } from '../../../../src/sandbox/guarded';
import { LeafRegistry } from '../../../../src/sandbox/leaf-registry';
import { Lease } from '../../../../src/sandbox/lease';
import { MOVES, type Phase } from '../../../../src/sandbox/life';
import { MemoryPool, type Charge } from '../../../../src/sandbox/memory/memory-pool';
import type { LeafBoot } from '../../../../src/sandbox/types';
import { LIMITS, ScriptedClient, ScriptedSandbox, settle } from '../../../support/scripted-sandbox';

const TOTAL_MB = 100;
const RUNNING_MB = 50;
const PAUSED_MB = 10;
const BY_OWNER = 'the test destroys it';

/** A guest whose pauses and resumes may hang or fail, and whose requests fail with it. */
class Guest extends ScriptedSandbox {
  failure: ArgyleError | undefined;
  private open = 0;

  override async pause(): Promise<void> {
    this.fails();
    await super.pause();
  }
  override async resume(): Promise<void> {
    this.fails();
    await super.resume();
  }
  override async destroy(reason: string): Promise<void> {
    await super.destroy(reason);
    this.failRequests('UND_ERR_DESTROYED');
  }
  answerOne(): void {
    const request = this.frozen || !this.life.isAlive ? undefined : this.requests[this.open];
    if (request === undefined) return;
    this.open++;
    request.answer('1');
  }
  failRequests(code: string): void {
    for (; this.open < this.requests.length; this.open++) this.requests[this.open]?.fail(code);
  }
  private fails(): void {
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
  }
}

class Rig {
  /** Phases that were reached. */
  readonly seen = new Set<Phase>(['running']);
  readonly pool = new MemoryPool({ totalMb: TOTAL_MB, timeoutMs: 1000, stats: new StatsRegistry() });
  readonly registry = new LeafRegistry({
    pool: this.pool,
    stats: new StatsRegistry(),
    downsizePaused: true,
    endThrashing: false,
    defaultMemMb: RUNNING_MB,
  });
  readonly guest = new Guest();
  released = 0;
  /** Number of requests that have not ended. */
  running = 0;
  /** Faults that no caller gets as an answer: moves that life.ts forbids. */
  readonly faults: unknown[] = [];
  /** Whether other functions give memory back as soon as they get it. */
  isOver = false;
  private others: (Charge | undefined)[] = [];
  private release: (() => void) | undefined;

  private constructor(
    readonly clock: { ms: number },
    readonly sandbox: GuardedSandbox,
    readonly instance: Instance,
  ) {}

  static async make(): Promise<Rig> {
    const clock = { ms: 1000 };
    jest.spyOn(Date, 'now').mockImplementation(() => clock.ms);
    const rig = new Rig(clock, undefined as never, undefined as never);
    const boot: LeafBoot = { role: 'leaf', name: 'f', runtime: 'python', entry_file: 'f.py', sys_path: [], env: {} };
    const spec = { boot, codeName: '.', limits: LIMITS, packages: [] };
    const lease = new Lease();
    const sandbox = await rig.registry.make(spec, {}, lease, () => Promise.resolve(lease.hold(rig.guest)));
    const facts = { name: 'f', codeName: '.', dir: '/', version: '1', entryFile: 'f.py', packages: [], env: {} };
    const code = new CodeVersion({ ...facts, runtime: 'python', config: defaultLambdaConfig() }, () => rig.released++);
    const instance = new Instance(sandbox, code, {
      stats: new StatsRegistry(),
      log: { debug: () => undefined, info: () => undefined, warn: () => undefined },
      pauseAfterMs: -1,
      pauses: new PauseTurns(),
      now: () => clock.ms,
    });
    Object.assign(rig, { sandbox, instance });
    const { life } = sandbox;
    const move = life.move.bind(life);
    life.move = (to) => {
      try {
        move(to);
        rig.seen.add(life.phase);
      } catch (fault) {
        rig.faults.push(fault);
        throw fault;
      }
    };
    return rig;
  }

  request(): void {
    const { instance } = this;
    if (!instance.usable || instance.active >= instance.capacity) return;
    instance.unpark();
    this.running++;
    const ended = (): void => {
      this.running--;
      instance.leave();
    };
    instance.serve(new ScriptedClient().invocation(), 0).then(ended, ended);
  }

  hold(): void {
    this.guest.hold ??= new Promise((resolve) => (this.release = resolve));
  }
  letGo(): void {
    this.guest.hold = undefined;
    this.release?.();
  }

  /** Another function requests memory. */
  async shortage(mb: number): Promise<void> {
    const charge = await this.pool.acquire(mb, 'instance', 'g').catch(() => undefined);
    if (this.isOver) charge?.release();
    else this.others.push(charge);
  }
  plenty(): void {
    for (const charge of this.others) charge?.release();
    this.others = [];
  }

  /** @param isQuiet nothing hangs, so that all pauses, resumes and destructions have ended */
  check(isQuiet: boolean): void {
    const { life } = this.sandbox;
    const { instance, guest, pool, sandbox } = this;
    this.seen.add(life.phase);
    const isFreed = life.phase === 'freed';
    expect(instance.usable).toBe(life.isAlive);
    expect(life.end === undefined).toBe(life.isAlive);
    expect(this.registry.list().includes(sandbox)).toBe(!isFreed);
    expect(this.released).toBeLessThanOrEqual(isFreed ? 1 : 0);
    const wasHelper = life.end?.by === 'helper';
    const departure = wasHelper ? 'helper' : life.end?.by === 'eviction' ? 'evicted' : 'ended';
    expect(instance.departure).toBe(departure);
    // The sandbox is in use or changing, so the memory pool must not reclaim it.
    const isFree = life.changes === 0 && sandbox.busySince === undefined && !life.isGivenUp;
    expect(sandbox.candidate(this.clock.ms + 1000) !== undefined).toBe(isFree);
    expect(sandbox.paused(this.clock.ms) !== undefined).toBe(life.phase === 'paused' || life.phase === 'waking');
    expect(guest.calls.filter((call) => call === 'destroy')).toHaveLength(life.isGivenUp ? 1 : 0);
    if (!isQuiet) return;
    if (life.isAlive) {
      expect([life.phase, guest.frozen]).toEqual([
        guest.frozen ? expect.stringMatching(/paused|waking/) : 'running',
        life.isPaused,
      ]);
      expect([pool.tierMb.paused, pool.tierMb.instance - this.othersMb]).toEqual(
        guest.frozen ? [PAUSED_MB, 0] : [0, RUNNING_MB],
      );
    } else {
      // A guest that ended by itself is destroyed by its owner, or by the memory pool in need.
      expect(['ended', 'freed']).toContain(life.phase);
      if (life.end?.by !== 'itself') expect(life.phase).toBe('freed');
      if (life.phase === 'freed') expect(pool.usedMb).toBe(this.othersMb);
    }
  }

  private get othersMb(): number {
    return this.others.reduce((sum, charge) => sum + (charge?.mb ?? 0), 0);
  }
}

type Step = (rig: Rig) => unknown;
const quietly = (work: Promise<unknown>): Promise<unknown> => work.catch(() => undefined);

const STEPS: Readonly<Record<string, Step>> = {
  pause: (rig) => void quietly(rig.sandbox.pause()),
  resume: (rig) => void quietly(rig.sandbox.resume()),
  request: (rig) => {
    rig.request();
  },
  answer: (rig) => {
    rig.guest.answerOne();
  },
  wait: ({ clock }) => (clock.ms += 10),
  hold: (rig) => {
    rig.hold();
  },
  'let go': (rig) => {
    rig.letGo();
  },
  shortage: (rig) => void rig.shortage(70),
  'great shortage': (rig) => void rig.shortage(TOTAL_MB),
  plenty: (rig) => {
    rig.plenty();
  },
  'fail once': ({ guest }) => (guest.failure = new ArgyleError('SANDBOX_STATE', 'refused')),
  'lose the helper': ({ guest }) => (guest.failure = new ArgyleError('HELPER_GONE', 'the helper ended')),
  death: ({ guest }) => {
    guest.end();
    guest.failRequests('UND_ERR_SOCKET');
  },
  thrash: ({ sandbox }) => {
    sandbox.fail('it thrashes');
  },
  'pool pauses': ({ sandbox, clock }) => {
    if (sandbox.candidate(clock.ms)?.action === 'pause') void sandbox.reclaim('pause');
  },
  evict: ({ sandbox, clock }) => {
    if (sandbox.candidate(clock.ms)?.action === 'destroy') void sandbox.reclaim('destroy');
  },
  destroy: ({ instance }) => void instance.destroy(BY_OWNER),
};

describe('the state of a sandbox', () => {
  afterEach(() => jest.restoreAllMocks());

  test('is the same for all its readers, in any sequence of events', async () => {
    const names = Object.keys(STEPS);
    // Ends come at a tenth of the rate of the other steps, so that sequences reach every phase.
    const isEnd = (name: string): boolean => /death|thrash|evict|destroy|lose/.test(name);
    const step = fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom(...names.filter((name) => !isEnd(name))) },
      { weight: 1, arbitrary: fc.constantFrom(...names.filter(isEnd)) },
    );
    const sequence = fc.array(fc.record({ step, settles: fc.boolean() }), { maxLength: 30 });
    const seen = new Set<Phase>();
    await fc.assert(
      fc.asyncProperty(sequence, async (steps) => {
        const rig = await Rig.make();
        const { sandbox, guest } = rig;
        for (const { step: name, settles } of steps) {
          await STEPS[name]?.(rig);
          if (settles) await settle();
          rig.check(settles && guest.hold === undefined);
        }
        rig.letGo();
        rig.plenty();
        await settle();
        rig.check(true);
        await rig.instance.destroy(BY_OWNER);
        await settle();
        rig.check(true);
        rig.isOver = true;
        rig.plenty();
        await settle();
        expect([sandbox.life.phase, rig.released, rig.running]).toEqual(['freed', 1, 0]);
        expect([rig.pool.usedMb, rig.pool.waiting, rig.faults]).toEqual([0, 0, []]);
        for (const phase of rig.seen) seen.add(phase);
      }),
      { numRuns: 300 },
    );
    expect([...seen].sort()).toEqual(Object.keys(MOVES).sort());
  }, 60_000);

  test('is paused for the instance when the pool pauses it; its wait is not in runtime_sec', async () => {
    const rig = await Rig.make();
    const { sandbox, guest, instance, pool } = rig;
    rig.clock.ms += 1000;
    void rig.shortage(TOTAL_MB - PAUSED_MB);
    await settle();
    expect([sandbox.life.phase, guest.frozen, pool.tierMb.paused]).toEqual(['paused', true, PAUSED_MB]);
    const client = new ScriptedClient();
    instance.unpark();
    const runtimeMs = 20;
    const served = instance.serve(client.invocation(), runtimeMs);
    await new Promise((resolve) => setTimeout(resolve, 5 * runtimeMs));
    expect([sandbox.life.phase, guest.requests.length, pool.waiting]).toEqual(['waking', 0, 1]);
    rig.plenty();
    await settle();
    guest.answerOne();
    expect([await served, client.text, sandbox.life.phase]).toEqual(['done', '1', 'running']);
    await instance.destroy(BY_OWNER);
  });

  test('cannot change between the choice of a running sandbox and its request', async () => {
    const rig = await Rig.make();
    const { sandbox, instance, guest } = rig;
    rig.clock.ms += 1000;
    instance.unpark();
    const served = instance.serve(new ScriptedClient().invocation(), 0);
    expect([guest.requests.length, sandbox.candidate(rig.clock.ms)]).toEqual([1, undefined]);
    guest.answerOne();
    expect(await served).toBe('done');
    await instance.destroy(BY_OWNER);
  });
});
