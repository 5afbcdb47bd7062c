/** Random sequences of deaths, failed starts and slow starts, in fake time. */
import * as fc from 'fast-check';
import { ArgyleError } from '../../../src/errors';
import { HelperSupervisor } from '../../../src/helper/supervisor';

jest.setTimeout(60_000);

const WAIT_MS = 2000;
/** A start without a fault, ms. */
const START_MS = 100;
/** The documented bound of a recovery, ms. */
const RECOVERY_MS = 1000;

class FakeHelper {
  isGone = false;
  closed = false;
  private listener: ((error: ArgyleError) => void) | undefined;
  private told: ArgyleError | undefined;

  onGone(listener: (error: ArgyleError) => void): void {
    this.listener = listener;
    if (this.told !== undefined) listener(this.told);
  }

  /** As in HelperClient: the client is gone at once and reports its end a little later. */
  die(toldAfterMs: number): void {
    if (this.isGone) return;
    this.isGone = true;
    setTimeout(() => {
      this.told = new ArgyleError('HELPER_GONE', 'it was killed');
      if (!this.closed) this.listener?.(this.told);
    }, toldAfterMs);
  }

  close(): Promise<void> {
    this.closed = true;
    this.isGone = true;
    return Promise.resolve();
  }
}

/** The outcome of one start. */
type Start =
  | { kind: 'fails'; afterMs: number }
  | { kind: 'starts'; afterMs: number }
  /** The helper starts and ends `livesMs` later; 0 is before any caller could use it. */
  | { kind: 'dies'; afterMs: number; livesMs: number };
type Step =
  | { kind: 'kill'; toldAfterMs: number }
  | { kind: 'call' }
  | { kind: 'wait'; ms: number }
  | { kind: 'plan'; start: Start };

const ms = (max: number) => fc.integer({ min: 0, max });
const start: fc.Arbitrary<Start> = fc.oneof(
  fc.record({ kind: fc.constant('fails' as const), afterMs: ms(500) }),
  fc.record({ kind: fc.constant('starts' as const), afterMs: ms(9000) }),
  fc.record({ kind: fc.constant('dies' as const), afterMs: ms(300), livesMs: ms(8000) }),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('kill' as const), toldAfterMs: ms(100) }),
  fc.record({ kind: fc.constant('call' as const) }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.oneof(ms(50), ms(40_000)) }),
  fc.record({ kind: fc.constant('plan' as const), start }),
);

class World {
  readonly supervisor: HelperSupervisor<FakeHelper>;
  readonly calls: Promise<void>[] = [];
  readonly all: FakeHelper[] = [];
  /** End of the last start or life with a fault, ms. */
  faultMs = 0;
  private plan: Start[] = [];
  private starts = 0;

  constructor() {
    this.supervisor = new HelperSupervisor({ waitMs: WAIT_MS, start: () => this.start() });
  }

  async run(steps: readonly Step[]): Promise<void> {
    for (const taken of steps) {
      // Callers that have a running helper get it before the next event.
      await jest.advanceTimersByTimeAsync(0);
      if (taken.kind === 'plan') this.plan.push(taken.start);
      else if (taken.kind === 'wait') await jest.advanceTimersByTimeAsync(taken.ms);
      else if (taken.kind === 'call') this.calls.push(this.call());
      else {
        this.all.at(-1)?.die(taken.toldAfterMs);
        this.faultMs = Math.max(this.faultMs, Date.now() + taken.toldAfterMs);
      }
    }
  }

  /** From now on every start works. */
  mend(): void {
    this.plan = [];
    this.faultMs = Math.max(this.faultMs, Date.now());
  }

  async call(): Promise<void> {
    const sinceMs = Date.now();
    let helper: FakeHelper;
    try {
      helper = await this.supervisor.get();
    } catch (error) {
      expect(error).toMatchObject({
        code: 'HELPER_START',
        message: expect.stringContaining(`${WAIT_MS} ms`) as string,
      });
      expect(Date.now() - sinceMs).toBe(WAIT_MS);
      return;
    }
    expect(helper.isGone).toBe(false);
    expect(Date.now() - sinceMs).toBeLessThanOrEqual(WAIT_MS);
  }

  private async start(): Promise<FakeHelper> {
    expect(++this.starts).toBe(1);
    expect(this.all.every(({ isGone }) => isGone)).toBe(true);
    const next = this.plan.shift() ?? { kind: 'starts', afterMs: START_MS };
    if (next.afterMs > START_MS || next.kind !== 'starts') this.faultMs = Date.now() + next.afterMs;
    await new Promise((resolve) => setTimeout(resolve, next.afterMs));
    this.starts--;
    if (next.kind === 'fails') throw new ArgyleError('HELPER_START', 'no memory for it');
    const helper = new FakeHelper();
    this.all.push(helper);
    if (next.kind === 'dies') {
      this.faultMs = Date.now() + next.livesMs;
      if (next.livesMs === 0) helper.die(0);
      else
        setTimeout(() => {
          helper.die(0);
        }, next.livesMs);
    }
    return helper;
  }
}

describe('HelperSupervisor', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it('recovers within 1 s from any sequence of deaths, failed starts and slow starts', () =>
    fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const world = new World();
        world.calls.push(world.call());
        await world.run(steps);
        world.mend();
        // A start in progress may be one whose helper dies later.
        while (Date.now() < world.faultMs) await jest.advanceTimersByTimeAsync(world.faultMs - Date.now());
        await jest.advanceTimersByTimeAsync(RECOVERY_MS);
        expect(world.supervisor.isRunning).toBe(true);
        expect((await world.supervisor.get()).isGone).toBe(false);
        await jest.advanceTimersByTimeAsync(WAIT_MS);
        await Promise.all(world.calls);
        await world.supervisor.close();
        expect(world.all.filter(({ isGone }) => !isGone)).toEqual([]);
        // Planned deaths of helpers that were killed earlier.
        await jest.advanceTimersByTimeAsync(10_000);
        expect(jest.getTimerCount()).toBe(0);
      }),
      { numRuns: 300 },
    ));

  it('starts a new helper after two deaths within 1 s, and lets calls wait for it', async () => {
    const world = new World();
    const first = world.supervisor.start();
    await jest.advanceTimersByTimeAsync(START_MS);
    (await first).die(0);
    await jest.advanceTimersByTimeAsync(2 * START_MS);
    (await world.supervisor.get()).die(0);
    const called = world.supervisor.get();
    await jest.advanceTimersByTimeAsync(RECOVERY_MS);
    expect((await called).isGone).toBe(false);
  });

  it('reports at once why the first helper cannot start', async () => {
    const start = jest.fn(() => Promise.reject<FakeHelper>(new ArgyleError('HELPER_DENIED', 'no such root')));
    const supervisor = new HelperSupervisor({ start });
    await expect(supervisor.start()).rejects.toMatchObject({ code: 'HELPER_DENIED' });
    await jest.advanceTimersByTimeAsync(10_000);
    expect(start).toHaveBeenCalledTimes(1);
  });

  it('reports the stop of the worker to waiting callers', async () => {
    const supervisor = new HelperSupervisor({
      start: () =>
        new Promise<FakeHelper>((resolve) =>
          setTimeout(() => {
            resolve(new FakeHelper());
          }, 500),
        ),
    });
    const waiting = expect(supervisor.get()).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    const closed = supervisor.close();
    await jest.advanceTimersByTimeAsync(500);
    await closed;
    await waiting;
    await expect(supervisor.get()).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });
});
