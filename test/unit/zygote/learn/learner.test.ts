import type { LeafSpec } from '../../../../src/sandbox/types';
import { newGroup, type Group } from '../../../../src/zygote/fleet/group';
import type { ZygoteProcess } from '../../../../src/zygote/fleet/zygote-process';
import { SubmoduleLearner } from '../../../../src/zygote/learn/learner';
import { SubmoduleBook } from '../../../../src/zygote/policy/submodules';

const KEY = 'pillow==10.4';
const TOP = ['PIL'];
const packages = [{ spec: 'Pillow==10.4.0', modules: TOP }];
const leaf = { codeName: '1-thumbnail', packages, boot: { role: 'leaf' } } as unknown as LeafSpec;
const pins = [{ name: 'pillow', version: '10.4.0', spec: 'Pillow==10.4.0', key: KEY }];
const NOW = Date.UTC(2026, 0, 1);

describe('SubmoduleLearner', () => {
  let book: SubmoduleBook;
  let groups: Group[];
  let renewed: string[];
  let learner: SubmoduleLearner;

  beforeEach(() => {
    jest.useFakeTimers({ now: NOW });
    book = new SubmoduleBook();
    groups = [];
    renewed = [];
    learner = new SubmoduleLearner(book, {
      list: () => groups,
      renew: (group) => {
        renewed.push(group.spec.id);
        return Promise.resolve();
      },
    });
  });
  afterEach(() => jest.useRealTimers());

  /** Adds a group whose one process has imported the given submodules. */
  function add(id: string, submodules: string[], parent?: ZygoteProcess): ZygoteProcess {
    const keys = id.split(',');
    const imports = new Map(id === '' ? [] : [[keys[keys.length - 1] ?? '', { spec: id, modules: [] }]]);
    const group = newGroup({ id, parent: '', pins: id === '' ? [] : keys, imports, path: [] }, 1);
    const zygote = { isReady: true, draining: false, submodules: new Set(submodules), parent };
    group.processes.push(zygote as unknown as ZygoteProcess);
    groups.push(group);
    return zygote as unknown as ZygoteProcess;
  }
  const report = (...names: string[]): void => {
    learner.record(leaf, pins, { 'Pillow==10.4.0': names });
  };
  const pass = (ms: number): Promise<void> => jest.advanceTimersByTimeAsync(ms);

  test("requests reports until they bring no new name; accepts only the function's packages", () => {
    expect(learner.learn(leaf).boot.learn).toBe(true);
    learner.record(leaf, pins, {
      'Pillow==10.4.0': ['PIL.Image'],
      'numpy==2.1.0': ['numpy.linalg'],
      constructor: ['x.y'],
    });
    expect([book.of(KEY), jest.getTimerCount()]).toEqual([['PIL.Image'], 1]);
    jest.clearAllTimers();
    for (let quiet = 0; quiet < 2; quiet++) {
      expect(learner.learn(leaf).boot.learn).toBe(true);
      learner.record(leaf, pins, {});
    }
    expect(learner.learn(leaf)).toBe(leaf);
    expect(jest.getTimerCount()).toBe(0);
    // A new version of the code is asked again, and not forever.
    const next = { ...leaf, codeName: '2-thumbnail' };
    let asked = 0;
    for (let call = 0; call < 50; call++) {
      if (learner.learn(next).boot.learn === true) asked++;
      learner.record(next, pins, { 'Pillow==10.4.0': [`PIL.m${call}`] });
    }
    expect(asked).toBe(12);
  });

  test('combines reports within 300 ms into one renewal of each zygote that lacks a submodule', async () => {
    add(KEY, []);
    add('numpy==2.1', []);
    report('PIL.Image');
    await pass(200);
    report('PIL.ImageDraw');
    expect(renewed).toEqual([]);
    await pass(101);
    expect(renewed).toEqual([KEY]);
  });

  test('keeps a zygote that has every submodule, is not ready or whose group is changing', async () => {
    add(KEY, ['PIL.Image']);
    Object.assign(add(KEY, []), { isReady: false });
    add(KEY, []);
    Object.assign(groups[2] ?? {}, { draining: true });
    add(KEY, []);
    Object.assign(groups[3] ?? {}, { creating: Promise.resolve() });
    report('PIL.Image');
    await pass(400);
    expect(renewed).toEqual([]);
  });

  test('renews a child of an ending zygote, after the groups with fewer packages', async () => {
    const old = add('', []);
    Object.assign(old, { draining: true });
    add(`attrs==1,${KEY}`, ['PIL.Image'], old);
    add(KEY, []);
    report('PIL.Image');
    await pass(400);
    expect(renewed).toEqual([KEY, `attrs==1,${KEY}`]);
  });

  test('renews a group at once, and then after 5 s, 10 s and 20 s at the earliest', async () => {
    add(KEY, []);
    report('PIL.Image');
    const times: number[] = [];
    for (let second = 0; second < 60; second++) {
      await pass(1000);
      await learner.look();
      while (times.length < renewed.length) times.push(second);
    }
    expect(times).toEqual([0, 5, 15, 35]);
  });

  test('renews nothing after stop()', async () => {
    add(KEY, []);
    report('PIL.Image');
    await learner.stop();
    report('PIL.ImageDraw');
    await pass(1000);
    await learner.look();
    expect(renewed).toEqual([]);
  });
});
