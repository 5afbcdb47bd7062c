import { demandedMs, ProcessorDemand, worthRunning } from '../../../../src/lambda/serve/processor-demand';

describe('worthRunning', () => {
  it('keeps the processors busy twice over', () => {
    expect(worthRunning(1, 2)).toBe(4);
    expect(worthRunning(0.5, 2)).toBe(8);
    expect(worthRunning(0.01, 2)).toBe(400);
    expect(worthRunning(5, 1)).toBe(2);
    expect(worthRunning(0, 2)).toBe(Infinity);
  });
});

test('demandedMs measures this process, and is undefined for a missing process', () => {
  const before = demandedMs(process.pid) ?? NaN;
  for (const endMs = performance.now() + 20; performance.now() < endMs;);
  expect((demandedMs(process.pid) ?? NaN) - before).toBeGreaterThan(10);
  expect(demandedMs(0)).toBeUndefined();
});

describe('ProcessorDemand', () => {
  const CPUS = 2;
  /** Plays calls one after the other beside `busy` busy instances. Returns the bound after each call. */
  const play = (calls: { ms: number; demandMs: number }[], busy = 10): number[] => {
    let nowMs = 0;
    let demanded = 0;
    const demand = new ProcessorDemand(
      CPUS,
      () => nowMs,
      () => demanded,
    );
    return calls.map(({ ms, demandMs }) => {
      demand.began(7, busy);
      nowMs += ms;
      demanded += demandMs;
      demand.left(7);
      const { most } = demand;
      nowMs += 30;
      return most;
    });
  };
  const computes = { ms: 40, demandMs: 40 };
  const waits = { ms: 40, demandMs: 0.4 };

  it('limits a function that computes; a function that waits is limited only by its calls', () => {
    expect(play([computes, computes])).toEqual([4, 4]);
    expect(play([waits, waits])[1]).toBeGreaterThan(300);
  });

  it('adapts to a function that changes', () => {
    const bounds = play([...Array.from({ length: 10 }, () => computes), ...Array.from({ length: 40 }, () => waits)]);
    expect(bounds[9]).toBe(4);
    expect(bounds.at(-1)).toBeGreaterThan(30);
  });

  it('measures nothing while there are at most as many calls as processors', () => {
    expect(play([computes, computes], CPUS)).toEqual([Infinity, Infinity]);
  });

  it('sets no limit without measurements', () => {
    let nowMs = 0;
    const demand = new ProcessorDemand(
      CPUS,
      () => nowMs,
      () => undefined,
    );
    demand.began(7, 10);
    nowMs = 500;
    demand.left(7);
    expect(demand.most).toBe(Infinity);
  });

  it('raises the limit while no call ends, and lowers it afterwards', () => {
    let nowMs = 0;
    let demanded = 0;
    const demand = new ProcessorDemand(
      CPUS,
      () => nowMs,
      () => demanded,
    );
    const pass = (): number => {
      nowMs += 100;
      demanded += 100;
      return demand.most;
    };
    demand.began(7, 10);
    pass();
    const stuck = [pass(), pass(), pass()];
    expect(stuck.map((most) => most - (stuck[0] ?? 0))).toEqual([0, 1, 2]);
    demand.left(8);
    expect(pass()).toBe((stuck[2] ?? 0) - 1);
    // After a pause the measurement starts again.
    nowMs += 5000;
    demanded += 5000;
    expect(demand.most).toBe(4);
  });
});
