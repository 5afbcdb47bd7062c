/** Every move of every table, and every move that a table lacks. */
import { HOST_MOVES, HostLife } from '../../../src/sandbox/host-life';
import { MOVES } from '../../../src/sandbox/life';
import { Phases, type Moves } from '../../../src/sandbox/phases';
import { ZYGOTE_MOVES } from '../../../src/zygote/fleet/zygote-process';

const TABLES: [string, Moves<string>, string][] = [
  ['leaf', MOVES, 'running'],
  ['host', HOST_MOVES, 'empty'],
  ['zygote', ZYGOTE_MOVES, 'serving'],
];

describe.each(TABLES)('the table of a %s', (name, moves, first) => {
  const all = Object.keys(moves);

  test.each(all)('from %s only the moves of the table are made', (from) => {
    for (const to of all) {
      const [strict, lenient] = [new Phases(`a ${name}`, moves, from), new Phases(`a ${name}`, moves, from)];
      const may = moves[from]?.includes(to) ?? false;
      if (may) strict.move(to);
      else expect(() => strict.move(to)).toThrow(`a ${name} cannot go from ${from} to ${to}`);
      expect(lenient.tryMove(to)).toBe(may);
      expect([strict.phase, lenient.phase]).toEqual(may ? [to, to] : [from, from]);
    }
  });

  test('leads from its first phase to every phase, and from every phase to an end', () => {
    const reach = (from: string, seen = new Set([from])): Set<string> => {
      for (const to of moves[from] ?? []) if (!seen.has(to)) reach(to, seen.add(to));
      return seen;
    };
    expect([...reach(first)].sort()).toEqual([...all].sort());
    for (const from of all) expect([...reach(from)].some((to) => moves[to]?.length === 0)).toBe(true);
  });
});

test('a host is usable until its guest ends or destroy() is called', () => {
  const flags = Object.keys(HOST_MOVES).map((phase) => {
    const life = new HostLife('a host');
    Object.assign(life, { current: phase });
    return [phase, life.isUsable, life.isGivenUp];
  });
  expect(flags).toEqual([
    ['empty', true, false],
    ['running', true, false],
    ['ended', false, false],
    ['freeing', false, true],
    ['emptied', false, true],
    ['dropped', false, true],
    ['stuck', false, true],
  ]);
});
