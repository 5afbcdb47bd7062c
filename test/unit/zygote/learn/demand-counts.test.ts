import { DemandCounts } from '../../../../src/zygote/learn/demand-counts';
import { finish } from '../../../../src/zygote/policy/steps';

const SEC = 1000;

describe('DemandCounts', () => {
  const rates = (counts: DemandCounts, nowMs: number): Record<string, number> =>
    Object.fromEntries(
      finish(counts.demandSteps(nowMs)).map(({ pins, ratePerSec }) => [pins.join(), Number(ratePerSec.toFixed(2))]),
    );

  test('count steadily requested sets by their rate, from the first minute on', () => {
    const counts = new DemandCounts({ fastHalfLifeMs: 60 * SEC, slowHalfLifeMs: 600 * SEC });
    for (let sec = 0; sec < 600; sec++) {
      counts.add(['a==1'], sec * SEC, undefined);
      if (sec % 4 === 0) counts.add(['b==1'], sec * SEC, undefined);
      if (sec === 59) expect(rates(counts, 60 * SEC)).toEqual({ 'a==1': 1.0, 'b==1': 0.25 });
    }
    expect(rates(counts, 600 * SEC)).toEqual({ 'a==1': 1.0, 'b==1': 0.25 });
    expect(rates(counts, 1200 * SEC)['a==1']).toBeLessThan(0.5);
  });

  test('count a deployed set once until it has requests', () => {
    const counts = new DemandCounts({ fastHalfLifeMs: 60 * SEC, slowHalfLifeMs: 600 * SEC });
    const once = new DemandCounts({ fastHalfLifeMs: 60 * SEC, slowHalfLifeMs: 600 * SEC });
    for (let times = 0; times < 3; times++) counts.expect(['a==1'], 0);
    once.add(['a==1'], 0, undefined);
    expect(rates(counts, 10 * SEC)).toEqual(rates(once, 10 * SEC));
    once.add(['a==1'], 10 * SEC, undefined);
    const asked = rates(once, 20 * SEC);
    // Two requests of this set weigh more than a deployment.
    once.expect(['a==1'], 10 * SEC);
    expect(rates(once, 20 * SEC)).toEqual(asked);
    // A deployment decays like a request.
    expect(rates(counts, 1200 * SEC)['a==1']).toBe(0);
  });

  test('keep the most requested sets, and return their packages', () => {
    const counts = new DemandCounts({ maxSets: 4 });
    for (let i = 0; i < 5; i++) {
      expect(counts.isFull).toBe(false);
      for (let times = 0; times <= i; times++) counts.add([`p${i}==1`], 0, undefined);
    }
    counts.add(['late==1'], 0, undefined);
    expect(counts.isFull).toBe(true);
    expect([...counts.forget(0)].sort()).toEqual(['p1==1', 'p2==1', 'p3==1', 'p4==1']);
    expect(counts.isFull).toBe(false);
  });

  test('smooth the import time of each set, and save it with the counts', () => {
    const counts = new DemandCounts();
    counts.add(['a==1'], 0, 100);
    counts.add(['a==1'], 0, 200);
    counts.add(['b==1'], 0, undefined);
    expect([counts.importMsOf(['a==1']), counts.importMsOf(['b==1'])]).toEqual([130, undefined]);
    const next = new DemandCounts();
    next.restore(counts.toSeed(5 * SEC), 100 * SEC);
    expect(next.importMsOf(['a==1'])).toBe(130);
    expect(rates(next, 100 * SEC)).toEqual(rates(counts, 5 * SEC));
  });
});
