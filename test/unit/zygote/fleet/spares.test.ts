import fc from 'fast-check';
import type { SandboxFactory } from '../../../../src/sandbox/factory';
import type { Lease } from '../../../../src/sandbox/lease';
import { MemoryPool, type Charge } from '../../../../src/sandbox/memory/memory-pool';
import type { Slot } from '../../../../src/sandbox/slot/slot';
import type { SandboxExit, SandboxLimits } from '../../../../src/sandbox/types';
import { StatsRegistry } from '../../../../src/metrics';
import { SparePool } from '../../../../src/zygote/fleet/spares';
import type { ZygoteProcess } from '../../../../src/zygote/fleet/zygote-process';
import { LIMITS, settle } from '../../../support/scripted-sandbox';
import { until } from '../../../support/until';

/** A parked child. */
class FakeSlot {
  isUsable = true;
  destroyed = 0;
  readonly exited: Promise<SandboxExit>;
  private exit: (exit: SandboxExit) => void = () => undefined;
  constructor(readonly id: number) {
    this.exited = new Promise((resolve) => (this.exit = resolve));
  }
  usage(): Promise<{ memBytes: number }> {
    return Promise.resolve({ memBytes: 3 * 1024 * 1024 });
  }
  destroy(): Promise<void> {
    this.destroyed++;
    return Promise.resolve();
  }
  end(): void {
    this.isUsable = false;
    this.exit({ oomKills: 0, status: 0 });
  }
}

describe('SparePool', () => {
  let pool: MemoryPool;
  let slots: FakeSlot[];
  /** An additional action of park(). */
  let park: () => Promise<void>;
  let zygote: { slot: object; isReady: boolean; inFlight: number; descendants: number };
  let spares: SparePool;

  beforeEach(() => {
    pool = new MemoryPool({ totalMb: 100, timeoutMs: 50, stats: new StatsRegistry() });
    slots = [];
    park = () => Promise.resolve();
    const count = { slot: {}, isReady: true, inFlight: 0, descendants: 0 };
    zygote = Object.assign(count, { retain: () => count.descendants++, release: () => count.descendants-- });
    const factory = {
      park: async (_source: Slot, _limits: SandboxLimits, lease: Lease) => {
        try {
          await park();
        } catch (error) {
          await lease.free('it could not be forked');
          throw error;
        }
        const slot = lease.hold(new FakeSlot(slots.length + 1));
        slots.push(slot);
        return slot as unknown as Slot;
      },
    };
    spares = new SparePool({
      factory: factory as unknown as SandboxFactory,
      pool,
      zygote: zygote as unknown as ZygoteProcess,
      limits: LIMITS,
    });
  });
  afterEach(() => spares.drop());

  const parked = (count: number) => until(`there are ${count} spares`, () => spares.size === count);

  test('parks its number of spares, each charged and counted as a descendant', async () => {
    spares.setTarget(3);
    await parked(3);
    await settle();
    expect([slots.length, pool.tierMb.spare, zygote.descendants, zygote.inFlight]).toEqual([3, 12, 3, 0]);
  });

  test('returns the oldest spare, and makes a replacement', async () => {
    spares.setTarget(2);
    await parked(2);
    const taken = spares.take(LIMITS);
    expect([taken?.slot.id, spares.size, taken?.isTaken]).toEqual([1, 1, true]);
    // The leaf now owns the spare's resources.
    expect([zygote.descendants, pool.usedMb]).toEqual([2, 8]);
    await parked(2);
    expect([slots.length, zygote.descendants]).toEqual([3, 3]);
    await taken?.discard();
    expect(slots[0]?.destroyed).toBe(0);
    const [usedMb, freesMb] = [pool.usedMb, taken?.lease.charge.mb ?? 0];
    await taken?.lease.free('the leaf has ended');
    expect(freesMb).toBeGreaterThan(0);
    expect([slots[0]?.destroyed, pool.usedMb, zygote.descendants]).toEqual([1, usedMb - freesMb, 2]);
  });

  test('returns no spare for a leaf with another scratch size', async () => {
    spares.setTarget(1);
    await parked(1);
    expect(spares.take({ ...LIMITS, scratchMb: 65 })).toBeUndefined();
    expect(spares.take({ ...LIMITS, memMb: 300 })?.slot.id).toBe(1);
  });

  test('skips and frees a spare that has ended', async () => {
    spares.setTarget(2);
    await parked(2);
    const [first] = slots;
    if (first !== undefined) first.isUsable = false;
    // No other spares are made, however long the rest of the test takes.
    zygote.isReady = false;
    expect(spares.take(LIMITS)?.slot.id).toBe(2);
    await settle();
    expect([first?.destroyed, zygote.descendants]).toEqual([1, 1]);
  });

  test('returns memory and count of a spare that ends while it is parked', async () => {
    spares.setTarget(1);
    await parked(1);
    spares.setTarget(0);
    slots[0]?.end();
    await settle();
    expect([spares.size, pool.usedMb, zygote.descendants, slots[0]?.destroyed]).toEqual([0, 0, 0, 1]);
  });

  test('keeps nothing of a failed fork, and retries later', async () => {
    let forks = 0;
    park = () => (forks++ === 0 ? Promise.reject(new Error('no')) : Promise.resolve());
    spares.setTarget(1);
    await until('one fork failed', () => forks === 1);
    await settle();
    expect([spares.size, pool.usedMb, zygote.descendants, zygote.inFlight]).toEqual([0, 0, 0, 0]);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(forks).toBe(1);
    await parked(1);
    expect(forks).toBe(2);
  });

  test('uses only free memory, and makes no spare while a request waits for memory', async () => {
    const most = await pool.acquire(98);
    spares.setTarget(1);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect([slots.length, zygote.descendants]).toEqual([0, 0]);
    most.release();
    await parked(1);
  });

  test('gives up spares when memory is short', async () => {
    spares.setTarget(2);
    await parked(2);
    const all: Promise<Charge> = pool.acquire(100);
    const charge = await all;
    expect([spares.size, zygote.descendants, slots.map(({ destroyed }) => destroyed)]).toEqual([0, 0, [1, 1]]);
    charge.release();
  });

  test('discards surplus spares, including one that is being forked', async () => {
    let go: () => void = () => undefined;
    spares.setTarget(1);
    await parked(1);
    park = () => new Promise((resolve) => (go = resolve));
    spares.setTarget(2);
    await until('it forks', () => zygote.inFlight === 1);
    spares.setTarget(1);
    go();
    await settle();
    expect([spares.size, slots.map(({ destroyed }) => destroyed), zygote.descendants]).toEqual([1, [0, 1], 1]);
  });

  test('makes no spares of a zygote that is no longer ready', async () => {
    zygote.isReady = false;
    spares.setTarget(2);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([slots.length, pool.usedMb]).toEqual([0, 0]);
  });

  test('charges spares their measured memory', async () => {
    spares.setTarget(1);
    await parked(1);
    await until('it is measured', () => pool.usedMb === 3);
    const candidate = spares.take(LIMITS)?.candidate(Date.now());
    expect(candidate).toBeUndefined();
  });

  test('are made again after they were dropped while a refill was due', async () => {
    spares.setTarget(1);
    await spares.drop();
    spares.setTarget(1);
    await parked(1);
  });

  test('each is claimed or freed once, whatever happens to it', async () => {
    type Step = 'want' | 'take' | 'discard' | 'end' | 'reclaim' | 'drop' | 'wait';
    const steps = fc.constantFrom<Step>('want', 'want', 'take', 'discard', 'end', 'reclaim', 'drop', 'wait', 'wait');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(steps, fc.nat(3)), { maxLength: 15 }), async (order) => {
        const first = slots.length;
        const taken: { slot: Slot; lease: Lease; isTaken: boolean; discard(): Promise<void> }[] = [];
        const run: Record<Step, (count: number) => unknown> = {
          want: (count) => {
            spares.setTarget(count);
          },
          take: () => {
            const spare = spares.take(LIMITS);
            if (spare !== undefined) taken.push(spare);
          },
          // Neither of these has an effect on a spare that was claimed.
          discard: (count) => taken[count]?.discard(),
          end: (count) => slots[first + count]?.end(),
          reclaim: async () => {
            (await pool.acquire(100 - taken.length * 4)).release();
          },
          drop: () => spares.drop(),
          wait: () => new Promise((resolve) => setTimeout(resolve, 2)),
        };
        for (const [step, count] of order) {
          await run[step](count);
          // A spare is parked, claimed or freed. All that are not freed count as descendants and hold their memory.
          await settle();
          const kept = slots.slice(first).filter(({ destroyed }) => destroyed === 0).length;
          expect([step, zygote.descendants - zygote.inFlight, zygote.inFlight]).toEqual([step, kept, 0]);
          expect([spares.size + taken.length, pool.usedMb > 0]).toEqual([kept, kept > 0]);
          for (const one of taken) expect([one.isTaken, slots[one.slot.id - 1]?.destroyed]).toEqual([true, 0]);
        }
        await spares.drop();
        await Promise.all(taken.map(({ lease }) => lease.free('the leaf has ended')));
        await settle();
        expect(slots.slice(first).every(({ destroyed }) => destroyed === 1)).toBe(true);
        expect([pool.usedMb, zygote.descendants, spares.size]).toEqual([0, 0, 0]);
      }),
      { numRuns: 60 },
    );
  });
});
