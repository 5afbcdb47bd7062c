/** The queue of starts with simulated functions, packages and processors. */
import fc from 'fast-check';
import { FairQueue } from '../../../../src/sandbox/memory/fair-queue';
import { StartQueue } from '../../../../src/zygote/starts/queue';
import { AHEAD, Turns } from '../../../../src/zygote/starts/turns';
import { simulateStarts, type SimCall, type SimKind } from '../../../../src/zygote/starts/simulate';

const CPUS = 2;
const burst = (count: number, kind: number, fn = (n: number) => `f${n}`): SimCall[] =>
  Array.from({ length: count }, (_, n) => ({ atMs: 0, fn: fn(n), kind }));
const NUMPY: SimKind = { importMs: 80, zygote: 'works' };
const FORKS_MS = 2;

describe('FairQueue', () => {
  it('gives each name one turn before any name gets its next turn', () => {
    const queue = new FairQueue<{ fn: string; n: number }>();
    for (let n = 0; n < 3; n++) queue.add({ fn: 'a', n });
    queue.add({ fn: 'b', n: 0 });
    const order = Array.from({ length: 4 }, () => queue.take()).map((entry) => `${entry?.fn ?? ''}${entry?.n ?? ''}`);
    expect(order).toEqual(['a0', 'b0', 'a1', 'a2']);
    expect(queue.take()).toBeUndefined();
  });

  it('skips entries that may not go, which keep their turn', () => {
    const queue = new FairQueue<{ fn: string }>();
    for (const fn of ['a', 'b', 'a']) queue.add({ fn });
    expect(queue.take(({ fn }) => fn !== 'a')?.fn).toBe('b');
    expect(queue.take()?.fn).toBe('a');
    expect(queue.length).toBe(1);
  });
});

describe('a burst of first calls', () => {
  it('imports once for all starts, within two single starts plus the forks', async () => {
    const [lone = 0] = (await simulateStarts({ cpus: CPUS, kinds: [NUMPY], calls: burst(1, 0) })).ms;
    for (const fn of [() => 'f', (n: number) => `f${n}`]) {
      const { endMs, imports } = await simulateStarts({ cpus: CPUS, kinds: [NUMPY], calls: burst(100, 0, fn) });
      expect(imports).toEqual([1]);
      expect(endMs).toBeLessThan(2 * lone + (100 * FORKS_MS) / CPUS);
    }
  });

  it('takes little more than its work per processor, with 10 sets of 100 functions', async () => {
    const kinds = Array.from({ length: 10 }, (_, n): SimKind => ({ importMs: 50 + 20 * n, zygote: 'works' }));
    const calls = Array.from({ length: 100 }, (_, n) => ({ atMs: n / 10, fn: `f${n}`, kind: n % 10 }));
    const { endMs, imports } = await simulateStarts({ cpus: CPUS, kinds, calls });
    const workMs = kinds.reduce((sum, { importMs }) => sum + importMs + 20, 0) + 100 * FORKS_MS;
    expect(Math.max(...imports)).toBeLessThanOrEqual(2);
    expect(endMs).toBeLessThan((1.5 * workMs) / CPUS);
  });

  it('waits only for its turn beside a function that is called often', async () => {
    const kinds: SimKind[] = [
      { importMs: 100, zygote: 'impossible' },
      { importMs: 100, zygote: 'impossible' },
    ];
    const calls = [...burst(100, 0, () => 'noisy'), { atMs: 5, fn: 'quiet', kind: 1 }];
    const { ms } = await simulateStarts({ cpus: CPUS, kinds, calls });
    expect(ms.at(-1)).toBeLessThan(3 * 120);
  });

  it('does not wait for a turn when one function has all turns', async () => {
    const kinds: SimKind[] = [
      { importMs: 3000, zygote: 'impossible' },
      { importMs: 100, zygote: 'impossible' },
    ];
    const calls = [...burst(20, 0, () => 'noisy'), { atMs: 5, fn: 'quiet', kind: 1 }];
    const { ms, mostAtOnce } = await simulateStarts({ cpus: CPUS, kinds, calls });
    // The function has 120 ms of work, beside two others on two processors.
    expect(ms.at(-1)).toBeLessThan(1.5 * 120 + 1);
    expect(mostAtOnce).toBe(CPUS + 1);
  });

  it('starts one sandbox per processor at a time when no zygote can be made', async () => {
    const kinds: SimKind[] = [{ importMs: 80, zygote: 'impossible' }];
    const { endMs, mostAtOnce } = await simulateStarts({ cpus: CPUS, kinds, calls: burst(20, 0) });
    expect(mostAtOnce).toBe(CPUS);
    expect(endMs).toBeLessThan(10 * 100 + 1);
  });

  it.each(['fails', 'hangs'] as const)('continues without a zygote that %s', async (zygote) => {
    const { endMs, imports } = await simulateStarts({
      cpus: CPUS,
      kinds: [{ importMs: 80, zygote }],
      calls: burst(20, 0),
    });
    expect(imports[0]).toBeGreaterThanOrEqual(20);
    // Ten starts on each processor, after the wait.
    expect(endMs).toBeLessThan(10 * 100 + 1500);
  });
});

const kind: fc.Arbitrary<SimKind> = fc.record({
  importMs: fc.integer({ min: 0, max: 400 }),
  guessMs: fc.integer({ min: 0, max: 400 }),
  zygote: fc.constantFrom('works', 'works', 'fails', 'hangs', 'impossible'),
});
const call: fc.Arbitrary<SimCall> = fc.record({
  atMs: fc.integer({ min: 0, max: 300 }),
  fn: fc.constantFrom('a', 'b', 'c', 'd'),
  kind: fc.integer({ min: 0, max: 2 }),
  waitMs: fc.constantFrom(0, 0, 500),
});

test('answers every call soon and with limited work, for any zygotes and estimates', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.tuple(kind, kind, kind),
      fc.array(call, { minLength: 1, maxLength: 60 }),
      async (cpus, kinds, calls) => {
        const outcome = await simulateStarts({ cpus, kinds, calls });
        expect(outcome.ms.every(Number.isFinite)).toBe(true);
        const alone = calls.reduce((sum, at) => sum + 20 + (kinds[at.kind]?.importMs ?? 0), 0);
        // Each kind's zygote may fail once per second, and each call may wait once for it.
        expect(outcome.endMs).toBeLessThan(300 + 500 + 5000 + 2 * alone);
        const most = calls.length + 3 * (2 + outcome.endMs / 1000);
        expect(outcome.imports.reduce((sum, n) => sum + n, 0)).toBeLessThanOrEqual(most);
      },
    ),
    { numRuns: 200 },
  );
});

test('with exact estimates, at most as many imports as processors run at once', async () => {
  const exact = fc.record({
    importMs: fc.integer({ min: 10, max: 400 }),
    zygote: fc.constantFrom('works' as const, 'fails' as const, 'impossible' as const),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.tuple(exact, exact, exact),
      fc.array(call, { minLength: 1, maxLength: 60 }),
      async (cpus, kinds, calls) => {
        const one = await simulateStarts({ cpus, kinds, calls: calls.map((at) => ({ ...at, fn: 'a' })) });
        expect(one.mostAtOnce).toBeLessThanOrEqual(cpus);
        // As many functions without a turn may join as others hold second turns.
        const several = await simulateStarts({ cpus, kinds, calls });
        expect(several.mostAtOnce).toBeLessThanOrEqual(2 * cpus - 1);
      },
    ),
    { numRuns: 200 },
  );
});

describe('Turns', () => {
  it('admits functions without a turn while there are fewer functions than turns', () => {
    const turns = new Turns(2);
    turns.begin('a');
    expect([turns.mayBegin('a'), turns.mayBegin('b')]).toEqual([true, true]);
    turns.begin('a');
    expect([turns.mayBegin('b'), turns.mayJoin('a'), turns.mayJoin('b'), turns.mayJoin('')]).toEqual([
      false,
      false,
      true,
      false,
    ]);
    turns.begin('b');
    expect([turns.total, turns.mayJoin('c')]).toEqual([3, false]);
    turns.end('b');
    turns.end('a');
    expect([turns.total, turns.mayBegin('a'), turns.mayJoin('c')]).toEqual([1, true, true]);
  });

  it('counts each turn of a zygote that serves all functions', () => {
    const turns = new Turns(2);
    turns.begin('');
    turns.begin('');
    expect(turns.mayJoin('a')).toBe(false);
    turns.end('');
    turns.begin('b');
    expect(turns.mayJoin('a')).toBe(false);
  });

  it('let one call start beside the zygotes that are made ahead', () => {
    for (const most of [1, 2]) {
      const turns = new Turns(most);
      for (let n = 0; n < most; n++) turns.begin(AHEAD);
      expect([turns.mayBegin('a'), turns.mayJoin('a'), turns.mayJoin(AHEAD)]).toEqual([false, true, false]);
      turns.begin('a');
      expect([turns.mayBegin(AHEAD), turns.mayJoin('b')]).toEqual([false, false]);
    }
  });

  it('reserves some turns from a single function', () => {
    const turns = new Turns(3, 2);
    turns.begin('a');
    turns.begin('a');
    expect([turns.mayBegin('a'), turns.mayBegin('b')]).toEqual([false, true]);
  });
});

test('no function has all light turns, however long its starts take', async () => {
  const queue = new StartQueue({ cpus: 2, now: () => 0, later: (run, ms) => setTimeout(run, ms).unref() });
  const kind = { id: 'light', estimate: () => ({ ownMs: 2 }), makeZygote: () => Promise.resolve() };
  const wish = { isWanted: () => true, onTurn: () => undefined };
  const turns = Array.from({ length: 20 }, () => queue.enter('hog', kind, wish));
  expect(turns.filter((turn) => !(turn instanceof Promise))).toHaveLength(3);
  const other = await queue.enter('other', kind, wish);
  expect(other?.isLight).toBe(true);
  const [first] = turns;
  if (first instanceof Promise || first === undefined) throw new Error('the first has its turn at once');
  first.leave();
  await expect(Promise.race(turns.filter((turn) => turn instanceof Promise))).resolves.toMatchObject({ isLight: true });
});
