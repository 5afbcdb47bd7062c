import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SeedStore, type SeedParts } from '../../../../src/compose/sandboxes/seed';
import { parseSeed } from '../../../../src/zygote/learn/seed';
import { SubmoduleBook } from '../../../../src/zygote/policy/submodules';
import { PopularityTracker } from '../../../../src/zygote/learn/tracker';

const KEY = 'pillow==1';
const SAVE_MS = 6000;

describe('SeedStore', () => {
  let dir = '';
  const warn = jest.fn();
  const measured = jest.fn();
  const peek = jest.fn();

  beforeEach(() => {
    jest.resetAllMocks();
    jest.useFakeTimers();
    dir = mkdtempSync(join(tmpdir(), 'argyle-seed-'));
    peek.mockImplementation((spec: string) => Promise.resolve({ spec, modules: ['PIL'] }));
  });
  afterEach(() => {
    jest.useRealTimers();
    rmSync(dir, { recursive: true, force: true });
  });

  function seedStore(): { store: SeedStore; tracker: PopularityTracker; submodules: SubmoduleBook } {
    const [tracker, submodules] = [new PopularityTracker(), new SubmoduleBook()];
    const popularity = { measured };
    const parts = {
      zygotes: { tracker, submodules, popularity },
      packages: { peek },
      config: { worker_dir: join(dir, 'worker'), features: { import_cache: 'popularity' } },
      log: { logger: { warn } },
    } as unknown as SeedParts;
    return { store: new SeedStore(parts), tracker, submodules };
  }
  const file = (): string => join(dir, 'popularity.json');
  const written = async (): Promise<unknown> => {
    jest.useRealTimers();
    const end = Date.now() + 5000;
    while (!readdirSync(dir).includes('popularity.json') && Date.now() < end) await new Promise(setImmediate);
    return JSON.parse(readFileSync(file(), 'utf8'));
  };

  it('saves statistics while the worker runs, and restores them in the next worker', async () => {
    const first = seedStore();
    first.store.start();
    first.tracker.observe({ atMs: Date.now(), pins: [KEY], start: 'fresh', preimported: [], importMs: 80 });
    first.tracker.packages.know(KEY, { spec: 'pillow==1.0', modules: ['PIL'] });
    first.submodules.learn(KEY, ['PIL'], ['PIL.Image']);
    jest.advanceTimersByTime(SAVE_MS);
    expect(parseSeed(await written())).toMatchObject({ specs: { [KEY]: 'pillow==1.0' } });

    const second = seedStore();
    second.store.start();
    await new Promise(setImmediate);
    expect(second.tracker.demands(Date.now())[0]?.pins).toEqual([KEY]);
    expect(second.submodules.of(KEY)).toEqual(['PIL.Image']);
    expect(peek).toHaveBeenCalledWith('pillow==1.0');
    expect(second.tracker.packages.importOf(KEY)).toEqual({ spec: 'pillow==1.0', modules: ['PIL'] });
    expect(measured).toHaveBeenCalled();
    await second.store.close();
    await first.store.close();
    expect(readdirSync(dir)).toEqual(['popularity.json']);
  });

  it('writes nothing while the statistics are unchanged', () => {
    seedStore().store.start();
    jest.advanceTimersByTime(10 * SAVE_MS);
    expect(readdirSync(dir)).toEqual([]);
  });

  it('accepts a file of an earlier version, and drops packages that are not installed', async () => {
    const set = { pins: [KEY], fast: 1, slow: 1 };
    const old = { version: 1, ageMs: 1000, sets: [set], costs: {}, requires: {}, excluded: {} };
    writeFileSync(file(), JSON.stringify(old));
    peek.mockResolvedValue(undefined);
    const { store, tracker } = seedStore();
    store.start();
    jest.useRealTimers();
    await new Promise(setImmediate);
    expect(peek).toHaveBeenCalledWith(KEY);
    expect(tracker.packages.specs).toEqual({});
    expect(warn).not.toHaveBeenCalled();
  });

  it('starts without statistics beside an invalid file, and logs a warning', () => {
    writeFileSync(file(), '{"version":1,');
    const { store: kept, tracker } = seedStore();
    kept.start();
    expect(tracker.demands(Date.now())).toEqual([]);
    expect(warn).toHaveBeenCalledTimes(1);
  });
});
