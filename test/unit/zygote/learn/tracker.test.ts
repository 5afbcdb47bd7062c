import { Ghosts } from '../../../../src/zygote/policy/ghosts';
import { CostBook } from '../../../../src/zygote/policy/costs';
import { UNMEASURED, DEFAULT_PARAMS } from '../../../../src/zygote/policy/params';
import { PopularityTracker, type StartObservation } from '../../../../src/zygote/learn/tracker';

const MINUTE = 60_000;

function cold(atMs: number, pins: string[], rest: Partial<StartObservation> = {}): StartObservation {
  return { atMs, pins, start: 'fork', preimported: [], ...rest };
}

describe('PopularityTracker', () => {
  it('reports rates that converge to the true rate, from the first minutes on', () => {
    for (const minutes of [5, 60, 600]) {
      const tracker = new PopularityTracker();
      for (let ms = 0; ms < minutes * MINUTE; ms += 500) tracker.observe(cold(ms, ['b==1', 'a==1']));
      const [demand] = tracker.demands(minutes * MINUTE);
      expect(demand?.pins).toEqual(['a==1', 'b==1']);
      expect(demand?.ratePerSec).toBeGreaterThan(1.9);
      expect(demand?.ratePerSec).toBeLessThan(2.1);
    }
  });

  it('forgets with its half-lives', () => {
    const tracker = new PopularityTracker({ fastHalfLifeMs: 10 * MINUTE, slowHalfLifeMs: 10 * MINUTE });
    for (let ms = 0; ms < 100 * MINUTE; ms += 1000) tracker.observe(cold(ms, ['a==1']));
    expect(tracker.demands(100 * MINUTE)[0]?.ratePerSec).toBeCloseTo(1, 1);
    expect(tracker.demands(120 * MINUTE)[0]?.ratePerSec).toBeCloseTo(0.25, 1);
  });

  it('learns, creates zygotes, settles, and retires unused zygotes', () => {
    const tracker = new PopularityTracker();
    for (let ms = 0; ms < MINUTE; ms += 1000) tracker.observe(cold(ms, ['pandas==2'], { importMs: 200 }));
    const first = tracker.tick(MINUTE, 40, []);
    expect(first.actions.filter(({ kind }) => kind === 'create').map(({ id }) => id)).toEqual(['', 'pandas==2']);
    const live = first.desired.zygotes.map((zygote) => ({ ...zygote, state: 'ready' as const }));
    expect(tracker.tick(MINUTE + 1, 40, live).actions).toEqual([]);
    const days = 3 * 24 * 60 * MINUTE;
    for (let ms = 0; ms < MINUTE; ms += 500) tracker.observe(cold(days + ms, ['torch==2'], { importMs: 900 }));
    // Memory for the root and one zygote.
    const later = tracker.tick(days + MINUTE, DEFAULT_PARAMS.rootMb + 40, live).actions;
    expect(later).toContainEqual(expect.objectContaining({ kind: 'create', id: 'torch==2' }));
  });

  it('starts only a few zygotes per look', () => {
    const tracker = new PopularityTracker({ params: { ...DEFAULT_PARAMS, maxNewPerLook: 3 } });
    for (let n = 0; n < 20; n++) {
      for (let ms = 0; ms < 10_000; ms += 1000) tracker.observe(cold(ms, [`p${n}==1`], { importMs: 100 }));
    }
    const { desired, actions } = tracker.tick(10_000, 500, []);
    expect(desired.zygotes.length).toBeGreaterThan(10);
    expect(actions.filter(({ kind }) => kind === 'create')).toHaveLength(3);
    const begun = new Set(actions.filter(({ kind }) => kind === 'create').map(({ id }) => id));
    for (const action of actions) expect(begun).toContain(action.id);
  });

  it('never plans a zygote with an excluded package, by version or by name', () => {
    const tracker = new PopularityTracker();
    for (let ms = 0; ms < MINUTE; ms += 1000) {
      tracker.observe(cold(ms, ['grpc==1', 'numpy==2', 'zmq==3'], { importMs: 300 }));
    }
    tracker.exclude('grpc==1', 'started 3 threads');
    tracker.exclude('zmq', 'crashed after a fork');
    const held = tracker.tick(MINUTE, 100, []).desired.zygotes.flatMap(({ pins }) => pins);
    expect(held).toEqual(['numpy==2']);
    expect(tracker.packages.excluded.get('zmq')).toBe('crashed after a fork');
  });

  it('remembers a limited number of sets, the most requested ones', () => {
    const tracker = new PopularityTracker({ maxSets: 10 });
    for (let n = 0; n < 200; n++) {
      tracker.observe(cold(n, ['popular==1']));
      tracker.observe(cold(n, [`rare${n}==1`], { importMs: 5 }));
    }
    expect(tracker.demands(200).length).toBeLessThanOrEqual(13);
    expect(tracker.toSeed(200).sets).toHaveLength(10);
    expect(tracker.demands(200).some(({ pins }) => pins[0] === 'popular==1')).toBe(true);
    expect(tracker.observed).toEqual({ fresh: 0, fork: 400, spare: 0 });
  });

  it('restores its seed after a restart, whatever time has passed', () => {
    const tracker = new PopularityTracker();
    for (let ms = 0; ms < 30 * MINUTE; ms += 1000)
      tracker.observe(cold(ms, ['numpy==2', 'pandas==2'], { importMs: 250 }));
    tracker.imported('numpy==2', { ms: 50, mb: 4 });
    tracker.packages.requires('pandas==2', ['numpy']);
    tracker.exclude('zmq', 'threads');
    const now = 30 * MINUTE;
    const seed: unknown = JSON.parse(JSON.stringify(tracker.toSeed(now)));
    const next = new PopularityTracker();
    next.restore(seed, 1e12);
    expect(next.demands(1e12)).toEqual(
      tracker.demands(now).map((demand) => ({ ...demand, ratePerSec: expect.closeTo(demand.ratePerSec, 6) as number })),
    );
    expect(next.tick(1e12, 100, [])).toEqual(tracker.tick(now, 100, []));
    expect(next.packages.excluded.get('zmq')).toBe('threads');
  });

  it.each([
    [null, 'seed'],
    [{ version: 2 }, 'version'],
    [{ version: 1, ageMs: -1, sets: [], costs: {}, requires: {}, excluded: {} }, 'ageMs'],
    [
      { version: 1, ageMs: 0, sets: [{ pins: [1], fast: 0, slow: 0 }], costs: {}, requires: {}, excluded: {} },
      'sets.0.pins.0',
    ],
  ])('refuses the seed %j, naming %s', (seed, field) => {
    expect(() => new PopularityTracker().restore(seed, 0)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', field }) as Error,
    );
  });
});

describe('CostBook', () => {
  it('returns an estimate until a measurement, and then blends measurements', () => {
    const book = new CostBook();
    expect(book.of('numpy==2')).toEqual(UNMEASURED);
    book.measured('numpy==2', 50, 4);
    expect(book.of('numpy==2')).toMatchObject({ ms: 50, mb: 4 });
    book.measured('numpy==2', 60, 4);
    expect(book.of('numpy==2').ms).toBeCloseTo(53);
  });

  it('splits reports of handlers over packages until they add up', () => {
    const book = new CostBook();
    for (let round = 0; round < 200; round++) {
      book.handlerImported(['a==1', 'b==1'], 110);
      book.handlerImported(['a==1'], 100);
      book.handlerImported(['b==1', 'c==1'], 15);
    }
    expect(book.of('a==1').ms).toBeCloseTo(100, 0);
    expect(book.of('b==1').ms).toBeCloseTo(10, 0);
    expect(book.of('c==1').ms).toBeCloseTo(5, 0);
  });

  it('does not change measured packages and never becomes negative', () => {
    const book = new CostBook();
    book.measured('a==1', 100, 4);
    book.handlerImported(['a==1', 'b==1'], 20);
    expect(book.of('a==1').ms).toBe(100);
    expect(book.of('b==1').ms).toBe(0);
  });
});

describe('Ghosts', () => {
  it('prices memory by the saving of evicted instances per MB', () => {
    const ghosts = new Ghosts(10 * MINUTE, 20);
    for (let ms = 0; ms < 60 * MINUTE; ms += 1000) {
      ghosts.evicted('f', 5, ms);
      ghosts.started('f', 40, ms + 500);
    }
    // 40 ms every second, with 20 MB more.
    expect(ghosts.price(60 * MINUTE)).toBeCloseTo(2, 0);
    expect(ghosts.price(60 * MINUTE)).toBeGreaterThan(10 * ghosts.price(120 * MINUTE));
  });

  it('drops ghosts beyond the additional memory, and counts each ghost once', () => {
    const ghosts = new Ghosts(10 * MINUTE, 10);
    ghosts.evicted('old', 6, 0);
    ghosts.evicted('new', 6, 1);
    ghosts.started('old', 1000, 2);
    expect(ghosts.price(MINUTE)).toBe(0);
    ghosts.started('new', 1000, 3);
    const once = ghosts.price(MINUTE);
    ghosts.started('new', 1000, MINUTE);
    expect(ghosts.price(MINUTE)).toBeCloseTo(once, 6);
  });

  it('prices waits for memory by the missing memory', () => {
    const ghosts = new Ghosts(10 * MINUTE, 10);
    ghosts.waited(500, 25, MINUTE);
    const little = ghosts.price(MINUTE);
    ghosts.waited(500, 2.5, MINUTE);
    expect(ghosts.price(MINUTE)).toBeCloseTo(11 * little, 6);
  });
});
