/** The record of one call while it runs. The answer, log lines, metrics and spans use it. */
import type { ArgyleError } from '../../../errors';
import type { StartKind, ZygoteTier } from '../../../sandbox/types';
import type { ColdCause } from '../start/cold-cause';

/** The origin of a call. */
export type Trigger = 'http' | 'kafka';

/** How the call got its instance: warm, frozen, or new. */
export type CallStart = 'warm' | 'unpause' | StartKind;

export class Call {
  /** Start of the call, in ms. The points in time below are in ms of the same clock. */
  readonly beganMs = performance.now();
  /** Wait for the function's code and packages, in ms. */
  codeMs = 0;
  /** Wait for the request's body, in ms. */
  bodyMs = 0;
  /** Wait for an instance, without `startMs`, in ms. */
  queueMs = 0;
  /** Undefined until the call has an instance. */
  start: CallStart | undefined;
  /** Imports of the zygote from which the instance was forked; '' for other starts. */
  tier: '' | ZygoteTier = '';
  /** Why the instance was made, if this is the first call of the instance. */
  cause: '' | ColdCause = '';
  /** Id of the call's sandbox; '' before the call has one. */
  sandbox = '';
  /** Wait for the sandbox to be made or thawed, in ms. */
  startMs = 0;
  /** Time at which the request was sent to the sandbox; 0 before. */
  sentMs = 0;
  /** Duration of the handler's import, as the guest reports, in ms. */
  importMs = 0;
  /** Time at which the head of the answer arrived; 0 before. */
  headMs = 0;
  /** Status of the function's answer; 0 before. */
  status = 0;
  /** Time at which the sandbox ended the call; 0 before. */
  servedMs = 0;
  /** The worker's error for a call that failed. */
  fault: ArgyleError | undefined;

  /** @param id is sent to the function, and appears in the answer and in every log line of the call */
  constructor(
    readonly id: string,
    readonly trigger: Trigger,
  ) {}

  /**
   * Records that an instance takes the call.
   * @param waitedMs wait in the queue
   * @param made how the instance was made, if this is the first call of the instance
   */
  taken(
    waitedMs: number,
    made?: { start: StartKind; tier?: ZygoteTier | undefined; ms: number; cause?: ColdCause },
  ): void {
    this.start = made?.start ?? 'warm';
    this.tier = made?.tier ?? '';
    this.cause = made?.cause ?? '';
    this.startMs = Math.min(waitedMs, made?.ms ?? 0);
    this.queueMs += waitedMs - this.startMs;
  }

  /**
   * Records that the thaw of the instance is ordered for the call. The request may be sent before the thaw completes.
   */
  thawing(): void {
    if (this.start === 'warm') this.start = 'unpause';
  }

  /** Records that the thaw has completed. If the request was sent during the thaw, its time is counted from now on. */
  thawed(ms: number): void {
    this.thawing();
    if (this.headMs > 0) return;
    this.startMs += ms;
    if (this.sentMs > 0) this.sentMs = performance.now();
  }

  /**
   * Records that the request is sent to the sandbox. If a call has redirects, the time of its first request is kept.
   */
  sent(): void {
    if (this.sentMs === 0) this.sentMs = performance.now();
  }

  /** Records the head of an answer. @param importMs duration of the handler's import, as the sandbox reports */
  answered(importMs: number | undefined, status = 0): void {
    this.headMs = performance.now();
    this.status = status;
    if (this.isCold) this.importMs = importMs ?? 0;
  }

  /** Records that the sandbox has answered or failed. */
  served(): void {
    this.servedMs = performance.now();
  }

  /** Whether this is the first call of its instance. */
  get isCold(): boolean {
    return this.start !== undefined && this.start !== 'warm' && this.start !== 'unpause';
  }

  /** Time from sending the request to the head of the answer, without the import, in ms. */
  get handlerMs(): number {
    return Math.max(0, this.headMs - this.sentMs - this.importMs);
  }

  /** The call's whole time until `nowMs` without the sandbox's time and without the wait for the body, in ms. */
  overheadMs(nowMs: number): number {
    const inside = this.sentMs === 0 ? 0 : (this.servedMs || nowMs) - this.sentMs;
    return Math.max(0, nowMs - this.beganMs - inside - this.bodyMs);
  }
}
