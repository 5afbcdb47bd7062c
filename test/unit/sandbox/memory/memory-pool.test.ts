import { StatsRegistry } from '../../../../src/metrics';
import { MemoryPool, type Charge, type Holder } from '../../../../src/sandbox/memory/memory-pool';
import { Lease } from '../../../../src/sandbox/lease';
import type { Candidate } from '../../../../src/sandbox/memory/evictor';

const makePool = (totalMb: number, timeoutMs = 1000): { pool: MemoryPool; stats: StatsRegistry } => {
  const stats = new StatsRegistry();
  return { pool: new MemoryPool({ totalMb, timeoutMs, stats }), stats };
};

/** Holds memory until it is reclaimed. */
class Idle implements Holder {
  reclaimed = 0;
  busy = false;
  constructor(
    private readonly pool: MemoryPool,
    private readonly charge: Charge,
    private readonly idleMs = 1000,
  ) {
    pool.add(this);
  }
  candidate(): Candidate | undefined {
    if (this.busy) return undefined;
    return { id: 'idle', action: 'destroy', freesMb: this.charge.mb, savesMs: 10, idleMs: this.idleMs };
  }
  async reclaim(): Promise<void> {
    this.reclaimed++;
    await new Promise((resolve) => setTimeout(resolve, 5));
    this.pool.remove(this);
    this.charge.release();
  }
}

describe('MemoryPool', () => {
  it('charges, resizes and releases', async () => {
    const { pool } = makePool(100);
    const charge = await pool.acquire(40);
    expect(pool.usedMb).toBe(40);
    await charge.resize(60);
    expect(pool.usedMb).toBe(60);
    charge.measured(5);
    expect(pool.usedMb).toBe(5);
    charge.release();
    charge.release();
    expect(pool.usedMb).toBe(0);
    await expect(charge.resize(1)).rejects.toMatchObject({ code: 'SANDBOX_DEAD' });
    charge.measured(9);
    expect(pool.usedMb).toBe(0);
  });

  it('refuses at once a charge that can never fit', async () => {
    const { pool } = makePool(100);
    await expect(pool.acquire(101)).rejects.toMatchObject({ code: 'MEMORY_EXHAUSTED', field: 'mem_pool_mb' });
  });

  it('serves requests in order, and a small one does not overtake', async () => {
    const { pool } = makePool(100);
    const first = await pool.acquire(80);
    const order: string[] = [];
    const large = pool.acquire(90).then((charge) => {
      order.push('large');
      return charge;
    });
    const small = pool.acquire(10).then(() => order.push('small'));
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(order).toEqual([]);
    expect(pool.tryAcquire(1)).toBeUndefined();
    first.release();
    (await large).release();
    await small;
    expect(order).toEqual(['large', 'small']);
  });

  it('rejects a request after its timeout, and serves the next one', async () => {
    const { pool } = makePool(100, 40);
    await pool.acquire(80);
    const large = pool.acquire(90);
    const small = pool.acquire(20);
    await expect(large).rejects.toMatchObject({ code: 'MEMORY_EXHAUSTED' });
    expect((await small).mb).toBe(20);
    expect(pool.usedMb).toBe(100);
    expect(pool.waiting).toBe(0);
  });

  it('reclaims idle holders once each, and no more than needed', async () => {
    const { pool, stats } = makePool(100);
    const holders: Idle[] = [];
    for (let n = 0; n < 5; n++) holders.push(new Idle(pool, await pool.acquire(20), n * 1000));
    const charges = await Promise.all([pool.acquire(20), pool.acquire(15)]);
    expect(charges.map(({ mb }) => mb)).toEqual([20, 15]);
    expect(holders.map(({ reclaimed }) => reclaimed)).toEqual([0, 0, 0, 1, 1]);
    expect(stats.snapshot()['evict.cnt']).toBe(2);
  });

  it('evicts no further holder for memory that is about to return', async () => {
    const { pool } = makePool(100);
    const leases: Lease[] = [];
    let evicted = 0;
    for (let n = 0; n < 10; n++) {
      const lease = new Lease(await pool.acquire(10));
      // Each holder takes another time to end, so the pool serves its waiters after each of them.
      lease.hold({ destroy: () => new Promise((resolve) => setTimeout(resolve, 2 * n)) });
      leases.push(lease);
      let isGone = false;
      // As a sandbox or a spare, the holder is no candidate any more once its end has begun.
      const candidate = (): Candidate | undefined =>
        isGone ? undefined : { id: `${n}`, action: 'destroy', freesMb: 10, savesMs: 10, idleMs: 1000 };
      const reclaim = (): Promise<void> => {
        isGone = true;
        evicted++;
        return lease.free('evicted');
      };
      pool.add({ candidate, reclaim });
    }
    const charge = await pool.acquire(50);
    expect([evicted, pool.usedMb]).toEqual([5, 100]);
    charge.release();
    // A holder that ends for another reason counts, too.
    const others = leases.slice(5).map((lease) => lease.free('no longer needed'));
    await pool.acquire(100);
    await Promise.all(others);
    expect(evicted).toBe(5);
  });

  it('checks again when a busy holder becomes idle', async () => {
    const { pool } = makePool(100);
    const holder = new Idle(pool, await pool.acquire(100));
    holder.busy = true;
    const waiting = pool.acquire(50);
    setTimeout(() => (holder.busy = false), 30);
    expect((await waiting).mb).toBe(50);
  });

  it('reclaims holders when the measured memory exceeds the budget', async () => {
    const { pool } = makePool(100);
    const holder = new Idle(pool, await pool.acquire(50));
    const zygote = await pool.acquire(40);
    zygote.measured(80);
    expect(pool.usedMb).toBe(130);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(holder.reclaimed).toBe(1);
    expect(pool.usedMb).toBe(80);
  });

  it('removes a released charge from the queue', async () => {
    const { pool } = makePool(100);
    await pool.acquire(90);
    const charge = await pool.acquire(5);
    const growing = charge.resize(50);
    charge.release();
    await expect(growing).rejects.toMatchObject({ code: 'SANDBOX_DEAD' });
    expect(pool.usedMb).toBe(90);
    expect(pool.waiting).toBe(0);
  });
});
