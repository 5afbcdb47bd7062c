/** Counts the running turns of each function. Pure. */

/** The owner of the turns of zygotes that are made ahead, for which no call waits. No function has this name. */
export const AHEAD = '*ahead';

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
   * Whether a function without a turn may begin although all turns are taken. POLICY: the function may begin while the
   * number of functions with turns is below `most`. Otherwise it would wait until a function with several turns
   * completes a start. Functions with turns have equal shares of the processors (cpu.weight). The owner '' stands for
   * all functions: each of its turns counts as one function. Each turn of AHEAD counts as one function, too, but all
   * turns of AHEAD together count as at most `most` - 1, so that they leave room for one function with a call.
   * The result for '' and AHEAD is false.
   */
  mayJoin(fn: string): boolean {
    const forAll = this.of.get('') ?? 0;
    const ahead = this.of.get(AHEAD) ?? 0;
    const functions = this.of.size - (forAll > 0 ? 1 : 0) - (ahead > 0 ? 1 : 0);
    const taken = forAll + functions + Math.min(ahead, this.most - 1);
    return fn !== '' && fn !== AHEAD && !this.of.has(fn) && taken < this.most;
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
