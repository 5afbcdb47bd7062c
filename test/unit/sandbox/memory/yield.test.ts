import { StatsRegistry } from '../../../../src/metrics';
import { MemoryPool, type Charge } from '../../../../src/sandbox/memory/memory-pool';
import { yields } from '../../../../src/sandbox/memory/yield';

const held = (mb: Record<string, number>) => (fn: string) => mb[fn] ?? 0;

test('a function yields to one that would then hold no more than the function itself', () => {
  const own = { owner: 'a', mb: 50 };
  const waiting = [{ fn: 'b', mb: 50 }];
  expect(yields(own, waiting, held({ a: 500 }), 0)).toBe(true);
  expect(yields(own, waiting, held({ a: 500, b: 400 }), 0)).toBe(true);
  expect(yields(own, waiting, held({ a: 500, b: 450 }), 0)).toBe(false);
  expect(yields(own, waiting, held({ a: 50 }), 0)).toBe(false);
});

test('it yields once for each waiter, and neither to itself nor to holders for all functions', () => {
  const own = { owner: 'a', mb: 50 };
  expect(yields(own, [{ fn: 'b', mb: 50 }], held({ a: 500 }), 50)).toBe(false);
  expect(yields(own, [{ fn: 'a', mb: 50 }], held({ a: 500 }), 0)).toBe(false);
  expect(yields(own, [{ fn: '', mb: 50 }], held({ a: 500 }), 0)).toBe(false);
});

describe('the memory pool', () => {
  const pool = (): MemoryPool => new MemoryPool({ totalMb: 100, timeoutMs: 5000, stats: new StatsRegistry() });

  test('serves functions in turns, in any order of arrival', async () => {
    const memory = pool();
    const first = await memory.acquire(100, 'instance', 'hog');
    const order: string[] = [];
    const wait = (fn: string): Promise<void> =>
      memory.acquire(50, 'instance', fn).then((charge: Charge) => {
        order.push(fn);
        setImmediate(() => {
          charge.release();
        });
      });
    const all = [wait('hog'), wait('hog'), wait('hog'), wait('other')];
    first.release();
    await Promise.all(all);
    expect(order).toEqual(['hog', 'other', 'hog', 'hog']);
    expect(memory.waiting).toBe(0);
  });

  test('gets as many shares back as others wait for', async () => {
    const memory = pool();
    const [one, two] = [await memory.acquire(50, 'instance', 'hog'), await memory.acquire(50, 'instance', 'hog')];
    expect(memory.mustYield(one)).toBe(false);
    const other = memory.acquire(50, 'instance', 'other');
    expect([memory.mustYield(one), memory.mustYield(two)]).toEqual([true, false]);
    one.release();
    (await other).release();
    expect(memory.mustYield(two)).toBe(false);
    two.release();
    expect(memory.usedMb).toBe(0);
  });
});
