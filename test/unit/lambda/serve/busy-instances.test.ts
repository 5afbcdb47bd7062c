import { BusyInstances, WHOLE_WEIGHT, weightOf } from '../../../../src/lambda/serve/busy-instances';
import type { Instance } from '../../../../src/lambda/serve/instance';

describe('weightOf', () => {
  it('divides one weight among all instances, in steps', () => {
    expect([0, 1, 2, 3, 4, 7, 8, 37, 1000].map(weightOf)).toEqual([100, 100, 50, 50, 25, 25, 13, 3, 1]);
  });

  it('keeps the sum of a function within twice its weight, up to rounding', () => {
    for (let busy = 1; busy <= 64; busy++) {
      expect(busy * weightOf(busy)).toBeGreaterThanOrEqual(0.9 * WHOLE_WEIGHT);
      expect(busy * weightOf(busy)).toBeLessThan(2.1 * WHOLE_WEIGHT);
    }
  });
});

class FakeSandbox {
  readonly pid = 0;
  readonly weights: number[] = [];
  weigh(weight: number): void {
    this.weights.push(weight);
  }
}

describe('BusyInstances', () => {
  const make = (): { instance: Instance; sandbox: FakeSandbox } => {
    const sandbox = new FakeSandbox();
    return { instance: { sandbox, capacity: 1 } as unknown as Instance, sandbox };
  };

  it('lowers all weights at once when instances are added, and raises them at the next look', () => {
    const busy = new BusyInstances(() => 0);
    const [a, b] = [make(), make()];
    busy.add(a.instance);
    expect(a.sandbox.weights).toEqual([100]);
    busy.add(b.instance);
    expect([a.sandbox.weights, b.sandbox.weights]).toEqual([[100, 50], [50]]);
    busy.delete(b.instance);
    busy.look();
    expect(a.sandbox.weights.at(-1)).toBe(50);
    busy.look();
    expect(a.sandbox.weights.at(-1)).toBe(100);
    // The weight is set when the instance is chosen again.
    busy.delete(a.instance);
    busy.add(b.instance);
    expect(b.sandbox.weights.at(-1)).toBe(100);
  });

  it('counts an instance that has several calls once', () => {
    const busy = new BusyInstances(() => 0);
    const { instance, sandbox } = make();
    busy.add(instance).add(instance);
    expect([busy.size, sandbox.weights]).toEqual([1, [100]]);
  });
});
