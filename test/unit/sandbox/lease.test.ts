import fc from 'fast-check';
import { setImmediate as turn } from 'node:timers/promises';
import { Lease } from '../../../src/sandbox/lease';
import { MemoryPool } from '../../../src/sandbox/memory/memory-pool';
import { StatsRegistry } from '../../../src/metrics';

describe('Lease', () => {
  let pool: MemoryPool;
  let order: string[];
  /** Completes the destruction of `slot`. */
  let destroyed: () => void;
  const ancestor = { retain: () => order.push('retain'), release: () => order.push('release') };
  const slot = {
    destroy: async (reason: string) => {
      order.push(`destroy: ${reason}`);
      await new Promise<void>((resolve) => (destroyed = resolve));
    },
  };

  beforeEach(() => {
    pool = new MemoryPool({ totalMb: 100, timeoutMs: 50, stats: new StatsRegistry() });
    order = [];
  });

  test("destroys the slot first, and then returns the memory and the zygote's reference", async () => {
    const lease = new Lease(await pool.acquire(30));
    lease.descendFrom(ancestor);
    expect(lease.hold(slot)).toBe(slot);
    const freed = lease.free('unused');
    await turn();
    expect([order, pool.usedMb]).toEqual([['retain', 'destroy: unused'], 30]);
    destroyed();
    await freed;
    expect([order, pool.usedMb]).toEqual([['retain', 'destroy: unused', 'release'], 0]);
  });

  test('nothing that its holder learns during the end costs another holder its memory', async () => {
    const learned = fc.array(fc.oneof(fc.integer({ min: 0, max: 60 }), fc.boolean()), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(learned, async (all) => {
        pool = new MemoryPool({ totalMb: 100, timeoutMs: 5000, stats: new StatsRegistry() });
        const lease = new Lease(await pool.acquire(30));
        lease.hold(slot);
        const other = await pool.acquire(70);
        const reclaim = jest.fn(() => Promise.resolve());
        const idle = { id: 'other', action: 'destroy', freesMb: 70, savesMs: 1, idleMs: 1000 } as const;
        pool.add({ candidate: () => idle, reclaim });
        const freed = lease.free('unused');
        for (const one of all) {
          if (typeof one === 'number') lease.charge.measured(one);
          else lease.charge.returning(one);
        }
        const acquired = pool.acquire(30);
        await turn();
        destroyed();
        await freed;
        (await acquired).release();
        other.release();
        expect([reclaim.mock.calls, pool.usedMb]).toEqual([[], 0]);
      }),
      { numRuns: 50 },
    );
  });

  test('is freed once, for the first reason', async () => {
    const lease = new Lease(await pool.acquire(30));
    lease.descendFrom(ancestor);
    lease.hold(slot);
    const both = Promise.all([lease.free('first'), lease.free('second')]);
    destroyed();
    await both;
    expect(order).toEqual(['retain', 'destroy: first', 'release']);
  });

  test('releases a replaced share', async () => {
    const lease = new Lease(await pool.acquire(30));
    const share = await pool.acquire(50);
    lease.recharge(share);
    expect([pool.usedMb, lease.charge]).toEqual([50, share]);
  });

  test('releases shares that arrive after its end', async () => {
    const lease = new Lease();
    await lease.free('cancelled');
    lease.recharge(await pool.acquire(30));
    lease.hold(slot);
    expect([pool.usedMb, order]).toEqual([0, ['destroy: its memory was given back']]);
  });

  test('has no charge before it gets a share', () => {
    expect(() => new Lease().charge).toThrow('no share');
  });
});
