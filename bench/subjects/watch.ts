import { SkipSubject, Strayed } from '../subject';
import type { LiveWorker } from './live-worker';
import { strayed } from './tiers';
import type { Tiers, Way } from './tiers';

/** Time limit for making zygotes until calls have the expected kind of start, ms. */
const SETTLE_MS = 60_000;
/** Number of consecutive calls with the expected kind of start before the measurement begins. */
const IN_ROW = 3;

/** Ensures that a worker's calls have the kind of start that a row is about, and discards all other calls. */
export class WayWatch {
  /**
   * @param pins the handler's packages
   * @param way expected kind of start of each call's sandbox; `warm`: the sandbox exists already
   */
  constructor(
    private readonly worker: LiveWorker,
    private readonly pins: readonly string[],
    private readonly way: Way,
  ) {}

  /** Calls until the zygotes are ready. @throws SkipSubject when calls keep having another kind of start */
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

  /** Waits for a spare if the row needs one, and reads the counters before the next call. */
  async ready(): Promise<void> {
    if (this.way === 'spare') await this.worker.awaitSpare(this.pins);
    await this.before();
  }

  /** @throws Strayed when the call had another kind of start, and errors of `call` */
  async checked<T>(call: () => Promise<T>): Promise<T> {
    const before = await this.before();
    const result = await call();
    const wrong = strayed(this.way, this.pins, before, await this.look());
    if (wrong !== undefined) throw new Strayed(wrong);
    return result;
  }

  /** The counters after the last call on this worker, from any subject. */
  private async before(): Promise<Tiers> {
    const last = this.worker.lastLook;
    return last !== undefined && (this.way !== 'fresh' || last.fresh !== undefined) ? last : this.look();
  }

  /** Reads without the count of fresh sandboxes. An unexpected fresh start is visible by its duration alone. */
  private look(): Promise<Tiers> {
    return this.worker.look(this.way === 'fresh');
  }
}
