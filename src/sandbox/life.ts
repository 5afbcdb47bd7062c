/**
 * The life of a leaf: one state machine, and the only record of whether a leaf runs, is frozen or has ended. The leaf
 * reports the end of its process here. GuardedSandbox makes all other moves. Instances and the memory pool only read
 * the life.
 *
 *   running → pausing → paused → waking → thawing → running
 *   each of these → ended → freeing → freed
 *
 * A failed pause leads back to `running`, a failed thaw back to `paused`.
 */
import { Phases, type Moves } from './phases';
import type { SandboxExit } from './types';

/**
 * - `running`: serves requests;
 * - `pausing`, `thawing`: the freeze or thaw is ordered;
 * - `paused`: frozen;
 * - `waking`: frozen, waits for the memory that it needs to run;
 * - `ended`: serves no more requests, still holds its memory and its slot;
 * - `freeing`: the lease is being freed; `freed`: the lease has been freed.
 */
export type Phase = 'running' | 'pausing' | 'paused' | 'waking' | 'thawing' | 'ended' | 'freeing' | 'freed';

/** The moves between phases. */
export const MOVES: Moves<Phase> = {
  running: ['pausing', 'ended'],
  pausing: ['paused', 'running', 'ended'],
  paused: ['waking', 'ended'],
  waking: ['thawing', 'paused', 'ended'],
  thawing: ['running', 'paused', 'ended'],
  ended: ['freeing'],
  freeing: ['freed'],
  freed: [],
};

/**
 * The cause of a leaf's end: its own process or a breach of its limits; an eviction; the end of the sandbox helper; a
 * call of destroy().
 */
export type EndedBy = 'itself' | 'eviction' | 'helper' | 'owner';

export interface End {
  readonly by: EndedBy;
  readonly why: string;
}

/** The part of a life that every caller may read. */
export interface LifeView {
  readonly phase: Phase;
  /** False from the end on. */
  readonly isAlive: boolean;
  /** Whether the leaf is frozen, or a pause or resume is ordered. A request calls resume() first. */
  readonly isPaused: boolean;
  /** Undefined while the leaf lives. */
  readonly end: End | undefined;
  /** Resolves once, when the leaf ends without a call of destroy(). */
  readonly exited: Promise<SandboxExit>;
}

export class Life extends Phases<Phase> implements LifeView {
  readonly exited: Promise<SandboxExit>;
  /** Number of ordered pauses and resumes that have not completed. */
  changes = 0;
  private ended: End | undefined;
  private resolveExited: ((exit: SandboxExit) => void) | undefined;

  constructor() {
    super('a leaf', MOVES, 'running');
    this.exited = new Promise((resolve) => (this.resolveExited = resolve));
  }

  get isAlive(): boolean {
    return this.ended === undefined;
  }

  get isPaused(): boolean {
    return this.phase === 'paused' || this.changes > 0;
  }

  get end(): End | undefined {
    return this.ended;
  }

  /** Whether a request may be sent now. A guest that is being thawed reads the request when it runs. */
  get isOpen(): boolean {
    return this.phase === 'thawing' || (this.phase === 'running' && this.changes === 0);
  }

  /** Whether destroy() was called. */
  get isGivenUp(): boolean {
    return this.phase === 'freeing' || this.phase === 'freed';
  }

  /**
   * Makes a move of MOVES. A pause or thaw that completes after the end has no effect.
   * @throws Error for any other move, which is a fault of the worker
   */
  override move(to: Exclude<Phase, 'ended'>): void {
    if (this.isAlive || to === 'freeing' || to === 'freed') super.move(to);
  }

  /**
   * Ends the life. The first call counts; the others have no effect.
   * @param exit resolves `exited`; not used when the owner ends the leaf
   * @returns whether this was the first call
   */
  finish(by: EndedBy, why: string, exit: SandboxExit = { oomKills: 0, status: undefined }): boolean {
    if (!this.tryMove('ended')) return false;
    this.ended = { by, why };
    if (by !== 'owner') this.resolveExited?.(exit);
    return true;
  }
}
