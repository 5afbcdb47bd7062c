/** Limits concurrency. Waiting tasks take turns by asker, so that one asker's many tasks do not delay another's few. */
import { FairQueue } from '../../sandbox/memory/fair-queue';

interface Waiting {
  readonly fn: string;
  readonly go: () => void;
}

export class Limiter {
  private running = 0;
  private readonly waiting = new FairQueue<Waiting>();

  constructor(private readonly most: number) {}

  /** @param asker whose turn the task takes; tasks of one asker run in the order in which they came */
  async run<T>(task: () => Promise<T>, asker = ''): Promise<T> {
    if (this.running < this.most) this.running++;
    else
      await new Promise<void>((go) => {
        this.waiting.add({ fn: asker, go });
      });
    try {
      return await task();
    } finally {
      // The slot passes directly to the next waiting task, so that no other task can take it.
      const next = this.waiting.take();
      if (next === undefined) this.running--;
      else next.go();
    }
  }
}
