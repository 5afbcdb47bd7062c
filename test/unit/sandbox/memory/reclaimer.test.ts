import { StatsRegistry } from '../../../../src/metrics';
import type { Candidate } from '../../../../src/sandbox/memory/evictor';
import { Reclaimer, type Holder, type Lack } from '../../../../src/sandbox/memory/reclaimer';
import { Shares } from '../../../../src/sandbox/memory/shares';

const NO_SHARES = new Shares(100, new Map());
const lack = (neededMb: number, more: Partial<Lack> = {}): Lack => ({
  neededMb,
  overMb: 0,
  patientMb: 0,
  over: new Set(),
  ...more,
});

describe('Reclaimer', () => {
  let reclaimer: Reclaimer;
  let stats: StatsRegistry;
  let evicted: string[];
  let reclaimed: string[];
  let finish: Map<string, () => void>;

  /** Adds an idle holder of 10 MB. */
  const add = (id: string, more: Partial<Candidate> = {}): Holder => {
    const found: Candidate = { id, action: 'destroy', freesMb: 10, savesMs: 10, idleMs: 1000, ...more };
    const holder: Holder = {
      candidate: () => found,
      paused: () => (found.action === 'destroy' ? { fn: found.fn, idleMs: found.idleMs, thawMb: 40 } : undefined),
      reclaim: (action) => {
        reclaimed.push(`${action} ${id}`);
        return new Promise((resolve) => finish.set(id, resolve));
      },
    };
    reclaimer.add(holder);
    return holder;
  };

  beforeEach(() => {
    stats = new StatsRegistry();
    [evicted, reclaimed] = [[], []];
    finish = new Map();
    reclaimer = new Reclaimer({ stats, onEvict: ({ id }) => evicted.push(id) });
  });

  test('reports an eviction without the holder, whose fields are not for the log', () => {
    const seen: Candidate[] = [];
    const reporting = new Reclaimer({ stats, onEvict: (victim) => seen.push(victim) });
    const found: Candidate = { id: 'a', action: 'destroy', freesMb: 10, savesMs: 10, idleMs: 1000 };
    reporting.add({ candidate: () => found, reclaim: () => Promise.resolve() });
    reporting.reclaim(lack(10), NO_SHARES);
    expect(seen).toEqual([found]);
  });

  test('reclaims as many holders as needed, and counts running reclaims', async () => {
    for (const id of ['a', 'b', 'c']) add(id);
    reclaimer.reclaim(lack(15), NO_SHARES);
    expect([reclaimed, evicted]).toEqual([
      ['destroy a', 'destroy b'],
      ['a', 'b'],
    ]);
    reclaimer.reclaim(lack(15), NO_SHARES);
    expect(reclaimed).toHaveLength(2);
    reclaimer.reclaim(lack(25), NO_SHARES);
    expect(reclaimed).toEqual(['destroy a', 'destroy b', 'destroy c']);
    finish.get('a')?.();
    await Promise.resolve();
    await Promise.resolve();
    expect(stats.snapshot()['evict.cnt']).toBe(1);
  });

  test('reclaims nothing while memory is free, and no removed holder', () => {
    const gone = add('a');
    reclaimer.reclaim(lack(0), NO_SHARES);
    reclaimer.remove(gone);
    reclaimer.reclaim(lack(10), NO_SHARES);
    expect(reclaimed).toEqual([]);
  });

  test('keeps the last instance of a function below its share for functions above theirs', () => {
    add('a', { fn: 'small' });
    const demand = (heldMb: number) => ({ heldMb, wantedMb: 20, thawMb: 0 });
    const shares = new Shares(
      100,
      new Map([
        ['small', demand(10)],
        ['large', demand(90)],
      ]),
    );
    reclaimer.reclaim(lack(20, { overMb: 20, over: new Set(['large']) }), shares);
    expect(reclaimed).toEqual([]);
    reclaimer.reclaim(lack(20), shares);
    expect(reclaimed).toEqual(['destroy a']);
  });

  test('reclaims spares and zygotes after instances that were used a short time ago', () => {
    add('zygote', { keptAs: 'zygote', fn: undefined });
    add('spare', { keptAs: 'spare', fn: undefined });
    add('recent', { fn: 'small' });
    add('old', { fn: 'small', idleMs: 100_000 });
    const shares = new Shares(100, new Map([['small', { heldMb: 20, wantedMb: 0, thawMb: 0 }]]));
    reclaimer.reclaim(lack(20), shares);
    expect(reclaimed).toEqual(['destroy old', 'destroy recent']);
    // A function that another one yields to in a moment needs no zygote's memory.
    reclaimer.reclaim(lack(40, { patientMb: 20 }), shares);
    expect(reclaimed).toHaveLength(2);
    reclaimer.reclaim(lack(40), shares);
    expect(reclaimed).toEqual(['destroy old', 'destroy recent', 'destroy spare', 'destroy zygote']);
  });

  test('returns the memory of all idle holders, and the paused ones', () => {
    add('a', { action: 'pause', freesMb: 25 });
    add('b', { keptAs: 'zygote' });
    add('c', { fn: 'f' });
    expect([reclaimer.freeableMb(false), reclaimer.freeableMb(true)]).toEqual([45, 35]);
    expect(reclaimer.paused().map(({ fn }) => fn)).toEqual([undefined, 'f']);
  });
});
