/** Caches the last consumed messages of one partition, so that a lambda can seek back without asking the broker. */

/** The part of a message that the cache needs. Offsets are decimal text, as Kafka clients provide them. */
export interface Cached {
  readonly offset: string;
}

export class MessageCache<T extends Cached> {
  private messages: T[] = [];

  /** @param size messages kept; 0 disables the cache */
  constructor(private readonly size: number) {}

  /** Adds the next consumed message. After a seek, a message replaces all cached messages from its offset on. */
  put(message: T): void {
    const offset = BigInt(message.offset);
    while (this.messages.length > 0 && BigInt(this.messages.at(-1)?.offset ?? 0) >= offset) this.messages.pop();
    this.messages.push(message);
    if (this.messages.length > this.size) this.messages.shift();
  }

  /** All messages from `offset` on, in order; undefined when the message at `offset` is not cached. */
  from(offset: string): T[] | undefined {
    const at = this.messages.findIndex((message) => message.offset === offset);
    return at < 0 ? undefined : this.messages.slice(at);
  }

  /** Call this when another consumer may have consumed the partition in the meantime. */
  clear(): void {
    this.messages = [];
  }
}
