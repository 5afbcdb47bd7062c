/**
 * Sends one snapshot per second to all watchers. Takes no snapshots while there are no watchers. Unchanged topics are
 * not sent again.
 */

/** Takes text. Returns false when the text was dropped; the next message must then contain all topics. */
export type Watcher = (text: string) => boolean;

/** Time between snapshots, ms. */
const EVERY_MS = 1000;

/** Formats one event of HTML's `text/event-stream`. JSON data always fits on one line. */
const eventOf = ([name, data]: readonly [string, string]): string => `event: ${name}\ndata: ${data}\n\n`;

export class Feed {
  private readonly watchers = new Map<Watcher, { behind: boolean }>();
  private topics: ReadonlyMap<string, string> = new Map();
  private timer: NodeJS.Timeout | undefined;

  /**
   * @param take makes a snapshot: JSON by topic
   * @param onFailed is called when `take` throws; the feed then keeps the previous snapshot
   */
  constructor(
    private readonly take: () => ReadonlyMap<string, string>,
    private readonly onFailed: (thrown: unknown) => void,
    private readonly everyMs = EVERY_MS,
  ) {}

  get size(): number {
    return this.watchers.size;
  }

  /** Sends all topics to `watcher` at once, then only the changed topics. @returns a function that stops the feed */
  watch(watcher: Watcher): () => void {
    this.watchers.set(watcher, { behind: true });
    if (this.timer === undefined) {
      this.timer = setInterval(() => {
        this.tick();
      }, this.everyMs).unref();
      this.tick();
    } else {
      this.send(watcher, '');
    }
    return () => {
      this.watchers.delete(watcher);
      if (this.watchers.size === 0) this.close();
    };
  }

  /** Stops the timer and forgets all watchers. */
  close(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private tick(): void {
    let changed = '';
    try {
      const topics = this.take();
      changed = [...topics]
        .filter(([name, data]) => this.topics.get(name) !== data)
        .map(eventOf)
        .join('');
      this.topics = topics;
    } catch (thrown) {
      this.onFailed(thrown);
    }
    for (const watcher of this.watchers.keys()) this.send(watcher, changed);
  }

  private send(watcher: Watcher, changed: string): void {
    const state = this.watchers.get(watcher);
    if (state === undefined) return;
    const text = state.behind ? [...this.topics].map(eventOf).join('') : changed;
    if (text !== '') state.behind = !watcher(text);
  }
}
