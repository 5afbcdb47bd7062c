/**
 * Collects young garbage while nobody waits. V8 does so when its young space is full, in the middle of whatever request
 * fills it, and that request then takes 5 to 12 ms longer. Measurements: docs/adr/0006.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** A worker is idle when it has been asked nothing for so long, ms: longer than a client needs for its next request. */
const IDLE_MS = 6;
/** A collection takes about 1 ms, and so pays only after some requests. */
const REQUESTS = 8;

type Collect = (options: { type: 'minor' }) => void;

/** V8's own gc(), which Node does not offer. */
function exposedGc(): Collect {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}

export class IdleCollector {
  private ended = 0;
  private timer: NodeJS.Timeout | undefined;

  /** @param isBusy whether requests are being served */
  constructor(
    private readonly isBusy: () => boolean,
    private readonly collect: Collect = exposedGc(),
  ) {}

  /** To be called at the end of each request. */
  requestEnded(): void {
    this.ended++;
    this.timer ??= setTimeout(() => {
      this.look();
    }, IDLE_MS).unref();
    this.timer.refresh();
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private look(): void {
    if (this.ended < REQUESTS || this.isBusy()) return;
    this.ended = 0;
    this.collect({ type: 'minor' });
  }
}
