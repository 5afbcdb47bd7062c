/** The messages of one partition that were consumed last, so that a lambda can go back without asking the broker. */

/** What the cache goes by; offsets are decimal text, as Kafka's clients hand them out. */
export interface Cached {
  readonly offset: string;
}

export class MessageCache<T extends Cached> {
  private messages: T[] = [];

  /** @param size messages kept; 0 keeps none */
  constructor(private readonly size: number) {}

  /** Adds the next consumed message. What a seek made come again replaces what was there from that offset on. */
  put(message: T): void {
    const offset = BigInt(message.offset);
    while (this.messages.length > 0 && BigInt(this.messages.at(-1)?.offset ?? 0) >= offset) this.messages.pop();
    this.messages.push(message);
    if (this.messages.length > this.size) this.messages.shift();
  }

  /** All messages from `offset` on, in order; undefined when the first of them is not here. */
  from(offset: string): T[] | undefined {
    const at = this.messages.findIndex((message) => message.offset === offset);
    return at < 0 ? undefined : this.messages.slice(at);
  }

  /** To be called when others may have consumed the partition meanwhile. */
  clear(): void {
    this.messages = [];
  }
}
