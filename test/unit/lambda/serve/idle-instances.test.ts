import { IdleInstances } from '../../../../src/lambda/serve/idle-instances';
import type { Instance } from '../../../../src/lambda/serve/instance';

interface Fake {
  name: string;
  usable: boolean;
  idleSince: number;
  sandbox: { life: { isPaused: boolean; isAlive: boolean } };
  park: () => void;
}

describe('IdleInstances', () => {
  let parked: string[];
  let idle: IdleInstances;
  const add = (name: string, idleSince = 0): Fake => {
    const life = { isPaused: false, isAlive: true };
    const fake: Fake = { name, usable: true, idleSince, sandbox: { life }, park: () => parked.push(name) };
    idle.add(fake as unknown as Instance);
    return fake;
  };
  const names = (instances: Iterable<Instance | undefined>): string[] =>
    [...instances].map((instance) => (instance as unknown as Fake).name);

  beforeEach(() => {
    parked = [];
    idle = new IdleInstances();
  });

  test('returns the most recently used instance first', () => {
    add('a', 10);
    add('b', 30);
    expect([parked, idle.length, idle.idleMs(40)]).toEqual([['a', 'b'], 2, [30, 10]]);
    expect(names([idle.pop(), idle.pop()])).toEqual(['b', 'a']);
    expect(idle.pop()).toBeUndefined();
  });

  test('releases the least recently used instances, or all', () => {
    for (const name of ['a', 'b', 'c', 'd']) add(name);
    expect(names(idle.takeOldest(1))).toEqual(['a']);
    expect(names(idle)).toEqual(['b', 'c', 'd']);
    expect(names(idle.takeAll())).toEqual(['b', 'c', 'd']);
    expect(idle.length).toBe(0);
  });

  test('counts running and paused instances, and ended ones as neither', () => {
    add('a');
    add('b').sandbox.life.isPaused = true;
    add('c').sandbox.life.isAlive = false;
    expect([idle.counts, idle.length]).toEqual([{ idle: 1, paused: 1 }, 3]);
  });

  test('releases unusable instances, and keeps the others in order', () => {
    add('a');
    const dies = add('b');
    add('c');
    expect([names(idle.takeDead()), idle.hasUsable]).toEqual([[], true]);
    dies.usable = false;
    expect([names(idle.takeDead()), names(idle)]).toEqual([['b'], ['a', 'c']]);
    for (const instance of idle) Object.assign(instance, { usable: false });
    expect(idle.hasUsable).toBe(false);
  });
});
