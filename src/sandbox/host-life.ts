/**
 * The life of a leaf's host, a slot or a container: one state machine, and the only record of whether the host has a
 * guest and whether the host is freed.
 *
 *   empty → running → ended
 *   each of these → freeing → emptied, dropped or stuck
 */
import { Phases, type Moves } from './phases';
import type { SandboxExit } from './types';

/** How freeing a host ended. See HostPhase. */
export type HostEnd = 'emptied' | 'dropped' | 'stuck';

/**
 * - `empty`: no guest has started;
 * - `running`: the guest has started;
 * - `ended`: the guest or the helper has ended;
 * - `freeing`: destroy() was called;
 * - `emptied`: freed, and the helper or engine has seen the last process end;
 * - `dropped`: freed, because it was never made or because it ended with its helper;
 * - `stuck`: the helper or engine could not free it.
 */
export type HostPhase = 'empty' | 'running' | 'ended' | 'freeing' | HostEnd;

/** The moves between phases. */
export const HOST_MOVES: Moves<HostPhase> = {
  empty: ['running', 'ended', 'freeing'],
  running: ['ended', 'freeing'],
  ended: ['freeing'],
  freeing: ['emptied', 'dropped', 'stuck'],
  emptied: [],
  dropped: [],
  stuck: [],
};

export class HostLife extends Phases<HostPhase> {
  /** Resolves when the guest or the helper ends. */
  readonly exited: Promise<SandboxExit>;
  private exitOfGuest: SandboxExit | undefined;
  private resolveExited: ((exit: SandboxExit) => void) | undefined;
  private freed: Promise<void> | undefined;

  constructor(what: string) {
    super(what, HOST_MOVES, 'empty');
    this.exited = new Promise((resolve) => (this.resolveExited = resolve));
  }

  /** Set when `exited` resolves. */
  get exit(): SandboxExit | undefined {
    return this.exitOfGuest;
  }

  /** Whether no guest has ended and destroy() was not called. */
  get isUsable(): boolean {
    return this.phase === 'empty' || this.phase === 'running';
  }

  /** Whether destroy() was called. */
  get isGivenUp(): boolean {
    return !this.isUsable && this.phase !== 'ended';
  }

  /** Records the end of the guest. An end during destroy() changes no phase. The first call counts. */
  finish(exit: SandboxExit): void {
    this.exitOfGuest ??= exit;
    this.tryMove('ended');
    this.resolveExited?.(exit);
  }

  /** Calls `work` to free the host. The first call counts; the others wait for it. @param work never rejects */
  free(work: () => Promise<HostEnd>): Promise<void> {
    if (this.tryMove('freeing')) this.freed = work().then((end) => this.move(end));
    return this.freed ?? Promise.resolve();
  }
}
