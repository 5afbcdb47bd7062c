/** Works through one partition's messages in order: deliver, retry, go back, commit. Knows nothing of a Kafka client. */
import type { MessageCache } from './cache';
import type { Delivered, Message } from './delivery';

export interface PartitionDeps {
  cache: MessageCache<Message> | undefined;
  /** kafka.commit_failed. */
  commitFailed: boolean;
  deliver(message: Message): Promise<Delivered>;
  /** Notes that everything before `offset` is done. */
  commit(offset: string): Promise<void>;
  /** Has the broker send from `offset` on; the rest of what it sent is then void. */
  seek(offset: string): void;
  /** Waits before a message is tried again; resolves early when it is time to stop. */
  backoff(attempt: number): Promise<void>;
  /** True when the partition is no longer ours, or the worker stops. */
  stopped(): boolean;
  onFailure(message: Message, why: string, attempt: number): void;
}

const after = (offset: string): string => String(BigInt(offset) + 1n);

/**
 * Handles a message that the broker sent, and whatever the function makes come again.
 *
 * POLICY: a message that fails is tried again until it succeeds, since committing a later one would commit it too;
 * kafka.commit_failed goes on to the next instead.
 * @returns false when the messages behind this one must not be handled: the partition was lost or another is next
 */
export async function handleMessage(message: Message, deps: PartitionDeps): Promise<boolean> {
  deps.cache?.put(message);
  let queue: Message[] = [message];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const outcome = await untilDelivered(next, deps);
    if (outcome === undefined || deps.stopped()) return false;
    const following = after(next.offset);
    const wanted = outcome.seek ?? following;
    await deps.commit(wanted);
    if (wanted === following) continue;
    const cached = deps.cache?.from(wanted);
    if (cached === undefined) {
      // Just behind what the broker sent: nothing has to be sought.
      if (wanted === after(message.offset)) return true;
      deps.seek(wanted);
      return false;
    }
    queue = cached;
  }
  return true;
}

async function untilDelivered(message: Message, deps: PartitionDeps): Promise<Delivered | undefined> {
  for (let attempt = 1; !deps.stopped(); attempt++) {
    const outcome = await deps.deliver(message);
    if (outcome.failure === undefined) return outcome;
    if (deps.stopped()) return undefined;
    deps.onFailure(message, outcome.failure, attempt);
    if (deps.commitFailed) return {};
    await deps.backoff(attempt);
  }
  return undefined;
}
