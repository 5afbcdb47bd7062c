/** Counts the running turns of each function. Pure. */

export class Turns {
  /** Running turns of all functions. */
  total = 0;
  private readonly of = new Map<string, number>();

  /** @param most limit for all functions together @param mostOfOne limit for one function */
  constructor(
    private readonly most: number,
    private readonly mostOfOne = most,
  ) {}

  /** Whether one more turn of `fn` may begin. */
  mayBegin(fn: string): boolean {
    return this.total < this.most && (this.of.get(fn) ?? 0) < this.mostOfOne;
  }

  /**
   * POLICY: whether a function without a turn may begin although all turns are taken. The function may begin when
   * the number of functions with turns is below the limit for turns. Otherwise the function would wait until a function
   * with several turns completes a start. Functions with turns have equal shares of the processors (cpu.weight). The
   * owner '' stands for all functions: each turn of '' counts, and '' never joins.
   */
  mayJoin(fn: string): boolean {
    const forAll = this.of.get('') ?? 0;
    const functions = this.of.size - (forAll > 0 ? 1 : 0);
    return fn !== '' && !this.of.has(fn) && forAll + functions < this.most;
  }

  begin(fn: string): void {
    this.total++;
    this.of.set(fn, (this.of.get(fn) ?? 0) + 1);
  }

  end(fn: string): void {
    this.total--;
    const left = (this.of.get(fn) ?? 1) - 1;
    if (left > 0) this.of.set(fn, left);
    else this.of.delete(fn);
  }
}
