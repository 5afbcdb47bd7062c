import { SkipSubject, Strayed } from '../subject';
import type { LiveWorker } from './live-worker';
import { strayed } from './tiers';
import type { Tiers, Way } from './tiers';

/** Zygotes may take this long to be made before calls go the right way, ms. */
const SETTLE_MS = 60_000;
/** Calls in a row that have to go the right way before anything is measured. */
const IN_ROW = 3;

/** Sees to it that a worker's calls go the way that a row is about, and throws away those that do not. */
export class WayWatch {
  /**
   * @param pins the handler's packages
   * @param way how the sandbox of each call has to come into being; `warm`: not at all, it is there
   */
  constructor(
    private readonly worker: LiveWorker,
    private readonly pins: readonly string[],
    private readonly way: Way,
  ) {}

  /** Calls until the zygotes are there. @throws SkipSubject when calls go another way again and again */
  async settle(call: () => Promise<unknown>): Promise<void> {
    const endMs = Date.now() + SETTLE_MS;
    for (let inRow = 0; inRow < IN_ROW; inRow += 1) {
      await this.ready();
      try {
        await this.checked(call);
      } catch (thrown) {
        if (!(thrown instanceof Strayed)) throw thrown;
        if (Date.now() > endMs) throw new SkipSubject(`${thrown.message}, again and again`);
        inRow = -1;
      }
    }
  }

  /** Waits for a spare where one is to be used, and reads the counters ahead of the next call. */
  async ready(): Promise<void> {
    if (this.way === 'spare') await this.worker.awaitSpare(this.pins);
    await this.before();
  }

  /** @throws Strayed when the call went another way, and whatever `call` throws */
  async checked<T>(call: () => Promise<T>): Promise<T> {
    const before = await this.before();
    const result = await call();
    const wrong = strayed(this.way, this.pins, before, await this.look());
    if (wrong !== undefined) throw new Strayed(wrong);
    return result;
  }

  /** What the last call on this worker left, whoever made it. */
  private async before(): Promise<Tiers> {
    const last = this.worker.lastLook;
    return last !== undefined && (this.way !== 'fresh' || last.fresh !== undefined) ? last : this.look();
  }

  /** A fresh sandbox in place of another way takes so long that it needs no counter to be seen. */
  private look(): Promise<Tiers> {
    return this.worker.look(this.way === 'fresh');
  }
}
