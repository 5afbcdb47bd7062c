import { closeSync, openSync } from 'node:fs';
import type { HelperClient } from '../../../../src/helper/client';
import { Pool } from '../../../../src/helper/protocol';
import { ArgyleError } from '../../../../src/errors';
import { StatsRegistry } from '../../../../src/metrics';
import type { Slot } from '../../../../src/sandbox/slot/slot';
import { SlotPool, type SlotPoolOptions } from '../../../../src/sandbox/slot/slot-pool';
import type { SlotHome } from '../../../../src/sandbox/slot/slot-home';
import type { PackageViews } from '../../../../src/sandbox/slot/views';
import { LIMITS, settle } from '../../../support/scripted-sandbox';
import { until } from '../../../support/until';

interface Order {
  verb: string;
  slot: number;
}
type Exit = (event: { value: number[] } | undefined) => void;

/** Executes all orders at once, unless a test changes this. */
class FakeHelper {
  isGone = false;
  readonly orders: Order[] = [];
  readonly exits = new Map<number, Exit>();
  /** Runs before an order is answered. */
  before: (order: Order) => Promise<void> = () => Promise.resolve();

  async request(verb: string, { slot }: { slot: number }): Promise<{ value: number[] }> {
    this.orders.push({ verb, slot });
    await this.before({ verb, slot });
    return { value: [1000 + slot] };
  }
  onExit(slot: number, exit: Exit): void {
    this.exits.set(slot, exit);
  }
  offExit(slot: number): void {
    this.exits.delete(slot);
  }
  /** Ends the first process of a slot. */
  end(slot: number): void {
    this.exits.get(slot)?.({ value: [0, 0, 0, 0] });
  }
  /** Number of orders with this verb. */
  count(verb: string): number {
    return this.orders.filter((order) => order.verb === verb).length;
  }
}

/** Ids, and descriptors without an open file. */
class FakeHome {
  readonly used = new Set<number>();
  opened: number[] = [];
  most = Infinity;

  take(): object {
    if (this.used.size >= this.most) throw new ArgyleError('SANDBOX_CREATE', 'all slots are in use');
    let id = 1;
    while (this.used.has(id)) id++;
    this.used.add(id);
    const open = (): number => openSync('/dev/null', 'r+');
    const fds = { listen: open(), logWrite: open(), logRead: open(), errWrite: open(), errRead: open() };
    this.opened = [fds.listen, fds.logWrite, fds.errWrite];
    return { id, fds, socketPath: `/nowhere/argyle-test-${id}.sock` };
  }
  give(id: number): void {
    this.used.delete(id);
  }
}

// Real taps would read pipes. These tests are about slots.
jest.mock('../../../../src/sandbox/log-tap', () => {
  const { closeSync: close } = jest.requireActual<{ closeSync: (fd: number) => void }>('node:fs');
  return {
    LogTap: class {
      constructor(out: number, _source: string, _sink: unknown, errors: number) {
        close(out);
        close(errors);
      }
      end(): void {
        // There is nothing to read.
      }
    },
  };
});

describe('SlotPool', () => {
  let helper: FakeHelper;
  let home: FakeHome;
  let pool: SlotPool;

  function make(options: Partial<SlotPoolOptions> = {}): void {
    helper = new FakeHelper();
    home = new FakeHome();
    pool = new SlotPool({
      helper: () => Promise.resolve(helper as unknown as HelperClient),
      home: home as unknown as SlotHome,
      views: undefined as unknown as PackageViews,
      limits: LIMITS,
      ready: 3,
      stats: new StatsRegistry(),
      ...options,
    });
  }
  const started = async (options: Partial<SlotPoolOptions> = {}): Promise<void> => {
    make(options);
    pool.start();
    await until('slots are ready', () => pool.ready === (options.ready ?? 3));
  };
  afterEach(() => pool.close());

  test('makes slots ahead, returns a ready one without an order, and replaces it', async () => {
    await started();
    const before = helper.orders.length;
    const slot = await pool.take(LIMITS);
    expect([slot.id, helper.orders.length, pool.ready]).toEqual([1, before, 2]);
    await until('it is made up for', () => pool.ready === 3);
    expect([helper.count('SLOT'), home.used.size]).toEqual([4, 4]);
    await slot.destroy();
  });

  test('orders other limits of a ready slot, and makes a new slot for another scratch size', async () => {
    await started();
    const other = await pool.take({ ...LIMITS, memMb: 300 });
    expect([helper.orders.at(-1), pool.ready]).toEqual([{ verb: 'LIMITS', slot: other.id }, 2]);
    const ready = pool.ready;
    const large = await pool.take({ ...LIMITS, scratchMb: 500 });
    expect([helper.count('LIMITS'), pool.ready >= ready, large.id]).toEqual([1, true, 4]);
    await Promise.all([other.destroy(), large.destroy()]);
  });

  test('makes a slot on demand when none is ready', async () => {
    make({ ready: 0 });
    const slot = await pool.take(LIMITS);
    expect([helper.orders, slot.pool, home.used.size]).toEqual([[{ verb: 'SLOT', slot: 1 }], Pool.LAMBDA, 1]);
    await slot.destroy();
    expect([helper.count('DESTROY'), home.used.size]).toEqual([1, 0]);
  });

  test('frees number and descriptors of a slot that cannot be made, without AG_DESTROY', async () => {
    make({ ready: 0 });
    helper.before = () => Promise.reject(new ArgyleError('SANDBOX_CREATE', 'no room'));
    await expect(pool.take(LIMITS)).rejects.toMatchObject({ code: 'SANDBOX_CREATE', message: 'no room' });
    expect([home.used.size, helper.count('DESTROY'), helper.exits.size]).toEqual([0, 0, 0]);
    for (const fd of home.opened) expect(() => closeSync(fd)).toThrow('EBADF');
  });

  test('waits after a failure in the background, and a request then gets its own failure', async () => {
    make();
    helper.before = () => Promise.reject(new ArgyleError('SANDBOX_CREATE', 'no room'));
    pool.start();
    await settle();
    const tried = helper.count('SLOT');
    expect(tried).toBeLessThanOrEqual(4);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([helper.count('SLOT'), pool.ready]).toEqual([tried, 0]);
    await expect(pool.take(LIMITS)).rejects.toMatchObject({ code: 'SANDBOX_CREATE' });
  });

  test('retries soon when there was no helper', async () => {
    let helpers = 0;
    make({
      helper: () =>
        helpers++ < 3
          ? Promise.reject(new ArgyleError('HELPER_START', 'not yet'))
          : Promise.resolve(helper as unknown as HelperClient),
    });
    const begin = performance.now();
    pool.start();
    await until('slots are ready', () => pool.ready === 3);
    expect(performance.now() - begin).toBeLessThan(900);
  });

  test('frees a ready slot whose guest ends, and does not return it', async () => {
    await started({ prespawn: true });
    expect(helper.count('SPAWN')).toBe(3);
    helper.end(1);
    await settle();
    expect([pool.ready, home.used.has(1)]).toEqual([2, false]);
    const slot = await pool.take(LIMITS);
    expect(slot.id).toBe(2);
    await slot.destroy();
  });

  test('skips ready slots of a helper that has ended', async () => {
    await started();
    const old = helper;
    old.isGone = true;
    helper = new FakeHelper();
    const slot = await pool.take(LIMITS);
    expect([slot.isUsable, slot.isLost, old.count('DESTROY')]).toEqual([true, false, 0]);
    await slot.destroy();
  });

  test('frees a slot whose process cannot be spawned ahead', async () => {
    make({ prespawn: true, ready: 1 });
    let spawns = 0;
    helper.before = ({ verb }) =>
      verb === 'SPAWN' && spawns++ === 0 ? Promise.reject(new ArgyleError('HELPER_GONE', 'no')) : Promise.resolve();
    pool.start();
    await until('another one is ready', () => pool.ready === 1);
    expect([spawns, home.used.size, helper.count('SLOT')]).toEqual([2, 1, 2]);
  });

  test('destroys ready and unfinished slots at close(), and none in use', async () => {
    await started({ ready: 2 });
    const inUse: Slot = await pool.take(LIMITS);
    let go: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (go = resolve));
    helper.before = ({ verb }) => (verb === 'SLOT' ? held : Promise.resolve());
    await until('one is being made', () => helper.count('SLOT') === 3);
    await pool.close();
    go();
    await until('it is destroyed', () => helper.count('DESTROY') === 2);
    expect([[...home.used], pool.ready, inUse.isUsable]).toEqual([[inUse.id], 0, true]);
    await settle();
    expect(helper.count('SLOT')).toBe(3);
    await inUse.destroy();
  });

  test('returns one slot each to many callers, by orders when no slot is ready', async () => {
    await started();
    const slots = await Promise.all(Array.from({ length: 8 }, () => pool.take(LIMITS)));
    expect(new Set(slots.map(({ id }) => id)).size).toBe(8);
    await Promise.all(slots.map((slot) => slot.destroy()));
  });
});
