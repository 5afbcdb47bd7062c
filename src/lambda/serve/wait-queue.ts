/** Requests that wait for an instance, oldest first. A request whose client goes away leaves the queue. */
import type { ArgyleError } from '../../errors';
import type { Invocation } from './call/invocation';

export interface Waiting {
  readonly invocation: Invocation;
  /** Arrival time, by the caller's clock. */
  readonly since: number;
  /** Number of instances that turned out dead when this request reached them. */
  attempts: number;
  readonly resolve: () => void;
  readonly reject: (error: ArgyleError) => void;
  readonly onAbort: () => void;
}

export class WaitQueue {
  // A Set keeps the order and removes any member in constant time. An array needs a search for each lost client.
  private readonly waiting = new Set<Waiting>();
  /** Requests that were taken from the queue and put back. They are served before all others; last in, first out. */
  private readonly front: Waiting[] = [];

  get length(): number {
    return this.waiting.size + this.front.length;
  }

  /** The request that is served next. */
  get head(): Waiting | undefined {
    return this.front.at(-1) ?? this.waiting.values().next().value;
  }

  /** @returns a promise that settles when the request is answered, refused, or given up by its client */
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

  /** Removes the request that is served next. */
  take(): Waiting | undefined {
    const { head } = this;
    if (head !== undefined) this.remove(head);
    return head;
  }

  /** Puts a taken request back, as the next one. */
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
