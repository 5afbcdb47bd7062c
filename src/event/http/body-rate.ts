/** Ends requests whose bodies arrive too slowly, on every route: functions, uploads and triggers. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ArgyleError } from '../../errors';
import { OpenBodies } from '../../lambda/serve/call/invocation';
import { sendThrown } from './replies';

export interface BodyRateSettings {
  /** argyle.body_window_sec; 0 disables the limit. */
  windowSec: number;
  /** argyle.body_window_kb: an incomplete body must deliver this much in each window. */
  windowKb: number;
  /** argyle.open_bodies: maximum number of incomplete bodies below 64 KiB that may hold a sandbox at the same time. */
  openBodies: number;
}

export const BODY_RATE: BodyRateSettings = { windowSec: 10, windowKb: 32, openBodies: 4 };

/** The windows of one body. Pure. */
export class BodyWindow {
  private waitedMs = 0;

  /** @param bytes received before the first window */
  constructor(private bytes: number) {}

  /**
   * Adds time in which the client was able to send.
   * @param bytes received so far
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

/** Time between two checks of all bodies, ms. */
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

  /**
   * Watches a request until its body is complete or its connection ends. A second call for the same request has no
   * effect.
   */
  watch(req: IncomingMessage, res: ServerResponse): void {
    if (this.settings.windowSec === 0 || req.complete || this.watched.has(req)) return;
    this.watched.set(req, { res, window: new BodyWindow(req.socket.bytesRead) });
    // One timer serves all requests: few bodies are incomplete at a time, and one timer for each request would take
    // more time.
    this.timer ??= setInterval(this.tick, TICK_MS).unref();
  }

  private readonly tick = (): void => {
    for (const [req, { res, window }] of this.watched) {
      if (req.complete || req.destroyed || req.socket.destroyed) this.watched.delete(req);
      // While the worker has unread bytes, flow control may block the client. The time until they are read does not
      // count.
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
    // The answer is sent first. The reader of the body then gets an error.
    res.once('finish', () => req.destroy());
    sendThrown(res, error);
  }
}
