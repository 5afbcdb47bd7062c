/** Ends requests whose bodies arrive too slowly, whatever waits for them: a function, an upload, a trigger. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ArgyleError } from '../errors';
import { OpenBodies } from '../lambda/invocation';
import { sendThrown } from './replies';

export interface BodyRateSettings {
  /** argyle.body_window_sec; 0 lets bodies take as long as they like. */
  windowSec: number;
  /** argyle.body_window_kb: what a body that is not complete must bring in each window. */
  windowKb: number;
  /** argyle.open_bodies: incomplete bodies below 64 KiB that may hold sandboxes at the same time. */
  openBodies: number;
}

export const BODY_RATE: BodyRateSettings = { windowSec: 10, windowKb: 32, openBodies: 4 };

/** Windows of one body. Pure. */
export class BodyWindow {
  private waitedMs = 0;

  /** @param bytes received when it began */
  constructor(private bytes: number) {}

  /**
   * Counts a moment in which the client could have sent.
   * @param bytes received until now
   * @returns whether the body is too slow
   */
  passed(
    ms: number,
    bytes: number,
    { windowSec, windowKb }: Pick<BodyRateSettings, 'windowSec' | 'windowKb'>,
  ): boolean {
    this.waitedMs += ms;
    if (this.waitedMs < windowSec * 1000) return false;
    const arrived = bytes - this.bytes;
    this.waitedMs = 0;
    this.bytes = bytes;
    return arrived < windowKb * 1024;
  }
}

/** How often bodies are looked at, ms. */
const TICK_MS = 500;

export class BodyRate {
  readonly open: OpenBodies;
  private readonly watched = new Map<IncomingMessage, { res: ServerResponse; window: BodyWindow }>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly settings: BodyRateSettings = BODY_RATE,
    private readonly onSlow: (error: ArgyleError, req: IncomingMessage) => void = () => undefined,
  ) {
    this.open = new OpenBodies(settings.openBodies);
  }

  /** Watches a request until its body is complete or its connection ends; a second time does nothing. */
  watch(req: IncomingMessage, res: ServerResponse): void {
    if (this.settings.windowSec === 0 || req.complete || this.watched.has(req)) return;
    this.watched.set(req, { res, window: new BodyWindow(req.socket.bytesRead) });
    // One timer for all: bodies that have to be waited for are few, and a timer for each would be many.
    this.timer ??= setInterval(this.tick, TICK_MS).unref();
  }

  private readonly tick = (): void => {
    for (const [req, { res, window }] of this.watched) {
      if (req.complete || req.destroyed || req.socket.destroyed) this.watched.delete(req);
      // What has arrived and is not taken holds the client up: that is not its fault.
      else if (req.readableLength === 0 && window.passed(TICK_MS, req.socket.bytesRead, this.settings)) {
        this.watched.delete(req);
        this.refuse(req, res);
      }
    }
    if (this.watched.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  };

  private refuse(req: IncomingMessage, res: ServerResponse): void {
    const { windowSec, windowKb } = this.settings;
    const least = `at least ${windowKb} KiB in ${windowSec} s (argyle.body_window_kb, argyle.body_window_sec)`;
    const error = new ArgyleError('BODY_SLOW', `the request body arrives too slowly: it must bring ${least}`);
    this.onSlow(error, req);
    if (res.headersSent) {
      req.destroy();
      return;
    }
    res.setHeader('Connection', 'close');
    // The answer goes out first; whoever reads the body then sees it cut off.
    res.once('finish', () => req.destroy());
    sendThrown(res, error);
  }
}
