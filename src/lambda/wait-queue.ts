/** Requests that wait for an instance, oldest first. One whose client goes away leaves by itself. */
import type { ArgyleError } from '../errors';
import type { Invocation } from './invocation';

export interface Waiting {
  readonly invocation: Invocation;
  /** When it came, in the caller's clock. */
  readonly since: number;
  /** How many instances turned out dead under it. */
  attempts: number;
  readonly resolve: () => void;
  readonly reject: (error: ArgyleError) => void;
  readonly onAbort: () => void;
}

export class WaitQueue {
  // A Set keeps the order and lets any member leave at once; an array would be searched for each lost client.
  private readonly waiting = new Set<Waiting>();
  /** Taken before, to be served before all others; last in, first out. */
  private readonly front: Waiting[] = [];

  get length(): number {
    return this.waiting.size + this.front.length;
  }

  /** The oldest. */
  get head(): Waiting | undefined {
    return this.front.at(-1) ?? this.waiting.values().next().value;
  }

  /** @returns what the caller of the invocation waits for */
  add(invocation: Invocation, since: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        if (this.remove(waiting)) resolve();
      };
      const waiting: Waiting = { invocation, since, attempts: 0, resolve, reject, onAbort };
      this.waiting.add(waiting);
      invocation.signal.addEventListener('abort', onAbort);
    });
  }

  /** Removes the oldest. */
  take(): Waiting | undefined {
    const { head } = this;
    if (head !== undefined) this.remove(head);
    return head;
  }

  /** Makes one that was taken the next to be taken. */
  putBack(waiting: Waiting): void {
    this.front.push(waiting);
    waiting.invocation.signal.addEventListener('abort', waiting.onAbort);
  }

  private remove(waiting: Waiting): boolean {
    waiting.invocation.signal.removeEventListener('abort', waiting.onAbort);
    const index = this.front.indexOf(waiting);
    if (index >= 0) this.front.splice(index, 1);
    return index >= 0 || this.waiting.delete(waiting);
  }
}
