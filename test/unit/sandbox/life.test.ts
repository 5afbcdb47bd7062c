import fc from 'fast-check';
import { Life, MOVES, type EndedBy, type Phase } from '../../../src/sandbox/life';

/** Moves from `running`: one path to each phase. */
const PATHS: Readonly<Record<Phase, readonly Phase[]>> = {
  running: [],
  pausing: ['pausing'],
  paused: ['pausing', 'paused'],
  waking: ['pausing', 'paused', 'waking'],
  thawing: ['pausing', 'paused', 'waking', 'thawing'],
  ended: ['ended'],
  freeing: ['ended', 'freeing'],
  freed: ['ended', 'freeing', 'freed'],
};
const PHASES = Object.keys(PATHS) as Phase[];

function go(life: Life, to: Phase): void {
  if (to === 'ended') life.finish('owner', 'test');
  else life.move(to);
}
function lifeIn(phase: Phase): Life {
  const life = new Life();
  for (const step of PATHS[phase]) go(life, step);
  return life;
}

describe('Life', () => {
  test.each(PHASES)('allows from %s only the moves of the table', (from) => {
    for (const to of PHASES) {
      const life = lifeIn(from);
      expect(life.phase).toBe(from);
      if (MOVES[from].includes(to)) {
        go(life, to);
        expect(life.phase).toBe(to);
      } else {
        // A change that completes after the end, and a second end, have no effect. Every other move is a fault of the
        // worker.
        const isLate = !life.isAlive && to !== 'freeing' && to !== 'freed';
        if (isLate) go(life, to);
        else expect(() => life.move(to as Exclude<Phase, 'ended'>)).toThrow(`from ${from} to ${to}`);
        expect(life.phase).toBe(from);
      }
    }
  });

  test('is alive until its end, and given up from destroy() on', () => {
    const flags = PHASES.map((phase) => [phase, lifeIn(phase).isAlive, lifeIn(phase).isGivenUp]);
    expect(flags).toEqual([
      ['running', true, false],
      ['pausing', true, false],
      ['paused', true, false],
      ['waking', true, false],
      ['thawing', true, false],
      ['ended', false, false],
      ['freeing', false, true],
      ['freed', false, true],
    ]);
  });

  test('accepts requests while it runs without an ordered change, and during a thaw', () => {
    const open = (changes: number): Phase[] =>
      PHASES.filter((phase) => Object.assign(lifeIn(phase), { changes }).isOpen);
    expect([open(0), open(1)]).toEqual([['running', 'thawing'], ['thawing']]);
    const paused = (changes: number): Phase[] =>
      PHASES.filter((phase) => Object.assign(lifeIn(phase), { changes }).isPaused);
    expect([paused(0), paused(1)]).toEqual([['paused'], PHASES]);
  });

  test("ends once, for the first reason, and reports every end except its owner's", async () => {
    const ends = fc.constantFrom<EndedBy>('itself', 'eviction', 'helper', 'owner');
    await fc.assert(
      fc.asyncProperty(fc.array(ends, { minLength: 1 }), async (order) => {
        const life = new Life();
        let told = false;
        void life.exited.then(() => (told = true));
        const firsts = order.map((by, index) => life.finish(by, `${index}`));
        await Promise.resolve();
        expect(life.end).toEqual({ by: order[0], why: '0' });
        expect(firsts).toEqual(order.map((_, index) => index === 0));
        expect(told).toBe(order[0] !== 'owner');
      }),
    );
  });
});
