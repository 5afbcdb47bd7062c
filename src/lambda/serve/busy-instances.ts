/**
 * The instances of a function that serve requests. All busy instances of a function together have one share of the
 * processors.
 */
import { availableParallelism } from 'node:os';
import type { Instance } from './instance';
import { ProcessorDemand } from './processor-demand';

/** Weight of a function with one busy instance: the kernel's default. */
export const WHOLE_WEIGHT = 100;
const LEAST_WEIGHT = 1;

/**
 * Returns the cgroup weight for each instance of a function while `busy` instances of the function compute.
 *
 * POLICY: each function, not each instance, has an equal share of the processors. WHOLE_WEIGHT is divided by powers of
 * two only, so a varying load rarely changes weights. The weights of all busy instances of a function add up to between
 * one and two times WHOLE_WEIGHT.
 */
export function weightOf(busy: number): number {
  const parts = 2 ** Math.floor(Math.log2(Math.max(1, busy)));
  return Math.max(LEAST_WEIGHT, Math.round(WHOLE_WEIGHT / parts));
}

export class BusyInstances extends Set<Instance> {
  private weight = WHOLE_WEIGHT;
  /** Highest number of busy instances since the last look(). */
  private peak = 0;
  private readonly demand: ProcessorDemand;
  /** Whether each instance serves one request at a time. */
  private isSingle = true;

  /** @param now in ms, of a monotonic clock */
  constructor(now: () => number) {
    super();
    this.demand = new ProcessorDemand(availableParallelism(), now);
  }

  /** Maximum number of instances that may run at once. Unlimited if an instance serves several requests at once. */
  get most(): number {
    return this.isSingle ? this.demand.most : Infinity;
  }

  override add(instance: Instance): this {
    if (this.has(instance)) return this;
    super.add(instance);
    this.isSingle = instance.capacity === 1;
    this.demand.began(instance.sandbox.pid, this.size);
    this.peak = Math.max(this.peak, this.size);
    if (weightOf(this.size) < this.weight) this.weighAll(weightOf(this.size));
    else instance.sandbox.weigh?.(this.weight);
    return this;
  }

  override delete(instance: Instance): boolean {
    this.demand.left(instance.sandbox.pid);
    return super.delete(instance);
  }

  /**
   * Raises the weights if fewer instances were busy since the last look(). The caller calls look() once per second.
   * POLICY: add() lowers weights at once, and only look() raises weights.
   */
  look(): void {
    const weight = weightOf(this.peak);
    this.peak = this.size;
    if (weight > this.weight) this.weighAll(weight);
  }

  private weighAll(weight: number): void {
    this.weight = weight;
    for (const { sandbox } of this) sandbox.weigh?.(weight);
  }
}
