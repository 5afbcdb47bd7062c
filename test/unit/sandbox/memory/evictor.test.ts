import fc from 'fast-check';
import { chooseVictims, worth, type Candidate } from '../../../../src/sandbox/memory/evictor';

const make = (id: string, change: Partial<Candidate> = {}): Candidate => ({
  id,
  action: 'destroy',
  freesMb: 10,
  savesMs: 100,
  idleMs: 1000,
  ...change,
});
const ids = (victims: Candidate[]): string[] => victims.map(({ id }) => id);

describe('chooseVictims', () => {
  it('pauses before it destroys, longest idle first', () => {
    const all = [
      make('old', { idleMs: 1e6, savesMs: 1 }),
      make('p1', { action: 'pause', idleMs: 5 }),
      make('p2', { action: 'pause', idleMs: 50 }),
    ];
    expect(ids(chooseVictims(all, 15))).toEqual(['p2', 'p1']);
    expect(ids(chooseVictims(all, 25))).toEqual(['p2', 'p1', 'old']);
  });

  it('destroys the candidate that saves the fewest ms per MB', () => {
    const cheap = make('cheap', { savesMs: 5 });
    const dear = make('dear', { savesMs: 500 });
    const large = make('large', { savesMs: 500, freesMb: 1000 });
    expect(ids(chooseVictims([dear, cheap, large], 1))).toEqual(['cheap']);
    expect(ids(chooseVictims([dear, large], 1))).toEqual(['large']);
  });

  it('selects spares after instances, and zygotes after spares, each by their savings', () => {
    const all = [
      make('zygote', { keptAs: 'zygote', savesMs: 1 }),
      make('spare', { keptAs: 'spare', savesMs: 1 }),
      make('worse spare', { keptAs: 'spare', savesMs: 1, idleMs: 1e6 }),
      make('instance', { savesMs: 5000 }),
      make('pause', { action: 'pause' }),
    ];
    expect(ids(chooseVictims(all, 1e6))).toEqual(['pause', 'instance', 'worse spare', 'spare', 'zygote']);
  });

  it('uses least recently used without measurements', () => {
    const all = [1, 2, 3].map((n) => make(`${n}`, { savesMs: 0, idleMs: n * 1000 }));
    expect(ids(chooseVictims(all, 20))).toEqual(['3', '2']);
  });

  it('selects none when nothing is needed, and never a candidate that frees nothing', () => {
    expect(chooseVictims([make('a')], 0)).toEqual([]);
    expect(chooseVictims([make('a')], -5)).toEqual([]);
    expect(chooseVictims([make('a', { freesMb: 0 })], 5)).toEqual([]);
  });

  it('covers the need if the candidates can, without an unneeded victim', () => {
    const candidate = fc.record({
      id: fc.uuid(),
      action: fc.constantFrom('pause' as const, 'destroy' as const),
      freesMb: fc.integer({ min: 0, max: 100 }),
      keptAs: fc.constantFrom('spare' as const, 'zygote' as const),
      savesMs: fc.integer({ min: 0, max: 1000 }),
      idleMs: fc.integer({ min: 0, max: 1e6 }),
    });
    fc.assert(
      fc.property(fc.array(candidate), fc.integer({ min: 1, max: 500 }), (all, needed) => {
        const victims = chooseVictims(all, needed);
        const freed = victims.reduce((sum, { freesMb }) => sum + freesMb, 0);
        const possible = all.reduce((sum, { freesMb }) => sum + freesMb, 0);
        expect(freed >= Math.min(needed, possible)).toBe(true);
        expect(freed - (victims.at(-1)?.freesMb ?? 0) < needed).toBe(true);
        expect(new Set(victims).size).toBe(victims.length);
      }),
    );
  });
});

describe('worth', () => {
  it('falls with idle time and size, and rises with the saving', () => {
    const base = worth(make('x'));
    expect(worth(make('x', { idleMs: 60_000 }))).toBeLessThan(base);
    expect(worth(make('x', { freesMb: 50 }))).toBeLessThan(base);
    expect(worth(make('x', { savesMs: 900 }))).toBeGreaterThan(base);
  });
});
