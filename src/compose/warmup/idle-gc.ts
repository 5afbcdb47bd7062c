/**
 * Collection of young garbage while the worker is idle. V8 collects when its young space is full, in the middle of a
 * request, and that request takes 5 to 12 ms longer. README.md of this folder has the measurements.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * A worker is idle after this time without a request, in ms. The time is longer than a client's pause between two
 * requests.
 */
const IDLE_MS = 6;
/** Requests between two collections. A collection takes about 1 ms, so it pays only after several requests. */
const REQUESTS = 8;

type Collect = (options: { type: 'minor' | 'major' }) => void;

/** V8's gc(). Node exposes gc() only with an option. */
function exposedGc(): Collect {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}

/**
 * Collects all garbage, and returns free pages to the system. With a worker's heap, this takes 30 to 70 ms. The second
 * collection frees objects that the first collection made unreachable, and shrinks the young space.
 */
export function collectAll(): void {
  const collect = exposedGc();
  collect({ type: 'major' });
  collect({ type: 'major' });
}

export class IdleGc {
  private ended = 0;
  private timer: NodeJS.Timeout | undefined;

  /** @param isBusy whether requests run */
  constructor(
    private readonly isBusy: () => boolean,
    private readonly collect: Collect = exposedGc(),
  ) {}

  /** Call this at the end of each request. */
  requestEnded(): void {
    this.ended++;
    this.timer ??= setTimeout(() => {
      this.collectIfIdle();
    }, IDLE_MS).unref();
    this.timer.refresh();
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private collectIfIdle(): void {
    if (this.ended < REQUESTS || this.isBusy()) return;
    this.ended = 0;
    this.collect({ type: 'minor' });
  }
}
