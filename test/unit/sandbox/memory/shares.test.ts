import fc from 'fast-check';
import { StatsRegistry } from '../../../../src/metrics';
import type { Candidate } from '../../../../src/sandbox/memory/evictor';
import { MemoryPool, type Charge, type Holder } from '../../../../src/sandbox/memory/memory-pool';
import {
  LAST_KEPT_MS,
  OTHERS_KEPT_MS,
  Shares,
  fairShareMb,
  inLine,
  type Demand,
  type Paused,
} from '../../../../src/sandbox/memory/shares';

describe('fairShareMb', () => {
  it('gives functions that want little all of it, and the others equal shares', () => {
    expect(fairShareMb(100, [10, 20, 500, 300])).toBe(35);
    expect(fairShareMb(100, [200, 200])).toBe(50);
    expect(fairShareMb(100, [50, 50])).toBe(Infinity);
    expect(fairShareMb(100, [])).toBe(Infinity);
    expect(fairShareMb(-5, [10])).toBe(0);
  });

  it('uses all memory when more is wanted, and no function that wants its part gets less', () => {
    const wants = fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2000 }), wants, (totalMb, all) => {
        const level = fairShareMb(totalMb, all);
        const given = all.reduce((sum, mb) => sum + Math.min(mb, level), 0);
        const wanted = all.reduce((sum, mb) => sum + mb, 0);
        expect(given).toBeCloseTo(Math.min(wanted, totalMb), 6);
        expect(level).toBeGreaterThanOrEqual(totalMb / all.length - 1e-9);
      }),
    );
  });
});

const demands = (all: Record<string, Partial<Demand>>): Map<string, Demand> =>
  new Map(Object.entries(all).map(([fn, demand]) => [fn, { heldMb: 0, wantedMb: 0, thawMb: 0, ...demand }]));

describe('Shares', () => {
  const shares = new Shares(
    1000,
    demands({ rich: { heldMb: 920, wantedMb: 400 }, poor: { heldMb: 8, thawMb: 42 }, new: { wantedMb: 50 } }),
  );

  it('detects functions above the share, and never refuses a first instance', () => {
    expect(shares.shareMb).toBe(900);
    expect([shares.isOver('rich', 50), shares.isOver('poor', 42), shares.isOver('new', 950)]).toEqual([
      true,
      false,
      false,
    ]);
    expect(shares.isOver('', 2000)).toBe(false);
    // The thaw of the only instance, and of one of two.
    expect([shares.isOver('poor', 2000, 8), shares.isOver('poor', 2000, 4)]).toEqual([false, true]);
  });

  it('detects a function that has enough to yield', () => {
    expect([shares.isToGive('poor', 42), shares.isToGive('new', 500), shares.isToGive('rich', 50)]).toEqual([
      true,
      false,
      false,
    ]);
    // Nobody yields to a zygote.
    expect(shares.isToGive('', 4)).toBe(false);
  });

  it('reserves the memory that others wait for or need for a thaw, up to an eighth of the pool', () => {
    expect([shares.reservedMb('rich'), shares.reservedMb('poor')]).toEqual([92, 92]);
    const many = Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`f${n}`, { heldMb: 8, thawMb: 42 }]));
    expect(new Shares(1000, demands({ rich: { heldMb: 900 }, ...many })).reservedMb('rich')).toBe(125);
  });

  it('keeps the last instance of a function below its share for 60 s, its others for 10 s', () => {
    const idle = [
      { id: 'last', fn: 'poor', idleMs: OTHERS_KEPT_MS + 1 },
      { id: 'older', fn: 'poor', idleMs: OTHERS_KEPT_MS + 2 },
      { id: 'of the rich', fn: 'rich', idleMs: 10 },
      { id: 'zygote', idleMs: 10 },
    ];
    const ids = (all: { id: string }[]): string[] => all.map(({ id }) => id);
    expect(ids(shares.protect(idle).kept)).toEqual(['last']);
    expect(ids(shares.protect(idle).free)).toEqual(['older', 'of the rich', 'zygote']);
    // A function may evict its own instances.
    expect(shares.protect(idle, new Set(['poor'])).kept).toEqual([]);
    expect(shares.protect([{ fn: 'poor', idleMs: LAST_KEPT_MS }]).kept).toEqual([]);
    // One instance may need more than an equal share of many functions.
    expect(shares.protect([{ fn: 'rich', idleMs: 1, freesMb: 920 }]).kept).toHaveLength(1);
    expect(shares.protect([{ fn: 'rich', idleMs: 1, freesMb: 919 }]).kept).toEqual([]);
    expect(shares.protect([1, 2].map((idleMs) => ({ fn: 'poor', idleMs }))).kept).toHaveLength(2);
  });
});

describe('inLine', () => {
  const served = (line: [over: boolean, fits: boolean][]): number[] => {
    const isNext = inLine<[boolean, boolean]>(
      ([over]) => over,
      ([, fits]) => fits,
    );
    return line.flatMap((waiter, n) => (isNext(waiter) ? [n] : []));
  };
  it('lets functions below their share pass those above it, and no others', () => {
    expect(
      served([
        [true, false],
        [true, true],
        [false, true],
      ]),
    ).toEqual([2]);
  });
  it('lets no function pass one below its share', () => {
    expect(
      served([
        [false, false],
        [false, true],
        [true, true],
      ]),
    ).toEqual([]);
  });
});

const RUNNING_MB = 50;
const PAUSED_MB = 8;

/** An instance that is paused at once, and thawed for each call of its function. */
class Instance implements Holder {
  evicted = false;
  isPaused = false;
  usedMs = Date.now();
  private constructor(
    private readonly pool: MemoryPool,
    readonly charge: Charge,
  ) {
    pool.add(this);
  }
  static async make(pool: MemoryPool, fn: string): Promise<Instance> {
    return new Instance(pool, await pool.acquire(RUNNING_MB, 'instance', fn));
  }
  pause(mb = PAUSED_MB): void {
    this.usedMs = Date.now();
    this.isPaused = true;
    this.charge.measured(mb);
  }
  async thaw(): Promise<void> {
    await this.charge.resize(RUNNING_MB);
    this.isPaused = false;
  }
  end(): void {
    this.pool.remove(this);
    this.charge.release();
  }
  paused(nowMs: number): Paused | undefined {
    if (!this.isPaused || this.evicted) return undefined;
    return { fn: this.charge.owner, idleMs: nowMs - this.usedMs, thawMb: RUNNING_MB - this.charge.mb };
  }
  candidate(nowMs: number): Candidate | undefined {
    if (!this.isPaused || this.evicted) return undefined;
    const { owner: fn, mb: freesMb } = this.charge;
    return { id: fn, fn, action: 'destroy', freesMb, savesMs: 10, idleMs: nowMs - this.usedMs };
  }
  reclaim(): Promise<void> {
    this.evicted = true;
    this.end();
    return Promise.resolve();
  }
}

describe('the memory pool beside a function that wants all memory', () => {
  const makePool = (totalMb: number): MemoryPool =>
    new MemoryPool({ totalMb, timeoutMs: 2000, stats: new StatsRegistry() });
  /** A function that requests ever more memory and returns none by itself. */
  const hog = (pool: MemoryPool, count: number): { got: Instance[]; failed: Promise<unknown> } => {
    const got: Instance[] = [];
    const all = Array.from({ length: count }, () => Instance.make(pool, 'hog').then((instance) => got.push(instance)));
    return { got, failed: Promise.allSettled(all) };
  };
  const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 30));

  it("keeps another function's last instance, and thaws that instance at once", async () => {
    const pool = makePool(1000);
    const quiet = await Instance.make(pool, 'quiet');
    quiet.pause();
    const { got, failed } = hog(pool, 40);
    await settled();
    expect(quiet.evicted).toBe(false);
    expect(got).toHaveLength((1000 - RUNNING_MB) / RUNNING_MB);
    for (let n = 0; n < 5; n++) {
      const startMs = performance.now();
      await quiet.thaw();
      expect(performance.now() - startMs).toBeLessThan(20);
      quiet.pause();
      await settled();
    }
    expect(got).toHaveLength((1000 - RUNNING_MB) / RUNNING_MB);
    await failed;
  });

  it('gives all memory to one function when no other was called recently', async () => {
    const pool = makePool(1000);
    const quiet = await Instance.make(pool, 'quiet');
    quiet.pause();
    quiet.usedMs = Date.now() - LAST_KEPT_MS;
    const { got, failed } = hog(pool, 25);
    await settled();
    expect([quiet.evicted, got.length]).toEqual([true, 20]);
    await failed;
  });

  it('thaws the only instance of a function, although all functions together need more memory', async () => {
    const pool = makePool(100);
    const made: Instance[] = [];
    for (const fn of ['a', 'b', 'c']) {
      const instance = await Instance.make(pool, fn);
      instance.pause(20);
      made.push(instance);
    }
    // Equal shares are 33 MB, and each needs 50.
    for (const { charge } of made) charge.measured(33);
    const startMs = performance.now();
    await made[0]?.thaw();
    expect(performance.now() - startMs).toBeLessThan(100);
    expect(made.map(({ evicted }) => evicted).filter(Boolean)).toHaveLength(1);
  });

  it('gives another function its first instance, whatever must be evicted', async () => {
    const pool = makePool(100);
    const [a, b] = [await Instance.make(pool, 'a'), await Instance.make(pool, 'b')];
    a.pause();
    b.pause();
    const large = await pool.acquire(98, 'instance', 'c');
    expect([a.evicted, b.evicted, large.mb]).toEqual([true, true, 98]);
  });

  it('never evicts instances of functions below their share, in any sequence', async () => {
    const step = fc.record({ fn: fc.constantFrom('a', 'b', 'c'), what: fc.constantFrom('call', 'end') });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const pool = new MemoryPool({ totalMb: 1200, timeoutMs: 300, stats: new StatsRegistry() });
        const quiet = new Map<string, Instance>();
        const got: Instance[] = [];
        const more = (): void =>
          void Instance.make(pool, 'hog').then(
            (instance) => got.push(instance),
            () => undefined,
          );
        for (let n = 0; n < 30; n++) more();
        for (const { fn, what } of steps) {
          await new Promise(setImmediate);
          if (what === 'end') {
            got.shift()?.end();
            more();
          }
          const own = quiet.get(fn);
          if (own !== undefined) expect(own.evicted).toBe(false);
          if (what === 'end') continue;
          if (own !== undefined) await own.thaw();
          else {
            // The first instance may wait for an instance of the other function.
            const made = Instance.make(pool, fn);
            got.shift()?.end();
            quiet.set(fn, await made);
          }
          quiet.get(fn)?.pause();
        }
        expect(pool.usedMb).toBeLessThanOrEqual(1200);
      }),
      { numRuns: 50 },
    );
  });
});
