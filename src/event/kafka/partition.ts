/** Handles the messages of one partition in order: deliver, retry, seek, commit. Independent of the Kafka client. */
import type { MessageCache } from './cache';
import type { Delivered, Message } from './delivery';

export interface PartitionDeps {
  cache: MessageCache<Message> | undefined;
  /** kafka.commit_failed. */
  commitFailed: boolean;
  deliver(message: Message): Promise<Delivered>;
  /** Commits all messages before `offset`. */
  commit(offset: string): Promise<void>;
  /** Makes the broker send from `offset` on. The rest of the current batch is then stale. */
  seek(offset: string): void;
  /** Waits before a retry. Resolves early when the consumer stops. */
  backoff(attempt: number): Promise<void>;
  /** True when the partition is no longer assigned to this consumer, or the worker stops. */
  stopped(): boolean;
  onFailure(message: Message, why: string, attempt: number): void;
}

const after = (offset: string): string => String(BigInt(offset) + 1n);

/**
 * Handles a message from the broker, and all messages that the function seeks back to.
 *
 * POLICY: a failed message is retried until it succeeds, since committing a later message would commit this one, too.
 * With kafka.commit_failed, the partition goes on to the next message instead.
 * @returns false when the next messages of the batch must not be handled: the partition was lost, or a seek was made
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
      // The wanted message is the next one of the batch, so no seek is needed.
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
