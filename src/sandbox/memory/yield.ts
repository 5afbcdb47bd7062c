/** Decides whether a function yields memory to other functions between its calls. Pure. */

/** A memory share: of an instance, or of a waiter. */
export interface Share {
  readonly mb: number;
}

export interface Wanting extends Share {
  /** The function of the waiter; '' for a holder that serves all functions. */
  readonly fn: string;
}

/**
 * POLICY: function A yields an instance after a request, although more requests wait for the instance. The condition:
 * function B waits for memory, and B would then hold no more than A holds without the instance. Functions that all want
 * more memory than exists therefore converge to equal shares, and an endless queue of one function cannot exclude the
 * others.
 * @param own the share of the instance, and its function
 * @param heldMb returns the memory of all instances of a function, in MB
 * @param comingMb memory that other owners are already about to return, in MB
 */
export function yields(
  own: Share & { readonly owner: string },
  waiting: Iterable<Wanting>,
  heldMb: (fn: string) => number,
  comingMb: number,
): boolean {
  const leftMb = heldMb(own.owner) - own.mb;
  let missingMb = -comingMb;
  for (const { fn, mb } of waiting) {
    if (fn !== '' && fn !== own.owner && heldMb(fn) + mb <= leftMb) missingMb += mb;
  }
  return missingMb > 0;
}
