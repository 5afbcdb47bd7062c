/**
 * A running zygote. All its descendants are nested in its pid namespace and die with it. The zygote therefore counts
 * its descendants and is ended only when the count is 0.
 *
 *   serving → draining → serving
 *   serving or draining → unfit
 *   serving, draining or unfit → ended
 *   serving → killed
 */
import type { Candidate } from '../../sandbox/memory/evictor';
import type { Ancestor, Lease } from '../../sandbox/lease';
import type { Holder } from '../../sandbox/memory/memory-pool';
import { Phases, type Moves } from '../../sandbox/phases';
import { MEGABYTE } from '../../sandbox/slot/limits';
import type { Slot } from '../../sandbox/slot/slot';
import type { SandboxLimits } from '../../sandbox/types';
import type { PinKey } from '../policy/types';

export interface ZygoteParts {
  slot: Slot;
  /** Holds the slot, its charge and the parent's reference; freed when the zygote has ended. */
  lease: Lease;
  parent: ZygoteProcess | undefined;
  /** Packages on its sys.path, which it may have imported, including its ancestors'. Sorted. */
  pins: readonly PinKey[];
  /** Import time that each fork saves, in ms. */
  importMs: number;
  /** Submodules that the zygote imports besides its packages, without those of its ancestors. */
  submodules?: ReadonlySet<string>;
  /** Called once, when the zygote has ended for any reason and is freed. */
  onGone: (zygote: ZygoteProcess) => void;
}

/** The spares of a zygote. The zygote drops them before it ends. */
export interface Parked {
  readonly size: number;
  setTarget(count: number): void;
  /** Claims a spare that fits a leaf's limits. The lease passes to the caller. */
  take(limits: SandboxLimits): { slot: Slot; lease: Lease } | undefined;
  drop(): Promise<void>;
}

/**
 * - `serving`: forks may be ordered while the process lives;
 * - `draining`: no new forks; the zygote ends after its last descendant; revive() leads back;
 * - `unfit`: as `draining`, but revive() has no effect;
 * - `ended`: drain() or end() has ended the zygote, or its process died while it was draining or unfit;
 * - `killed`: the process of a serving zygote has died.
 */
export type ZygotePhase = 'serving' | 'draining' | 'unfit' | 'ended' | 'killed';

/** The moves between phases. */
export const ZYGOTE_MOVES: Moves<ZygotePhase> = {
  serving: ['draining', 'unfit', 'ended', 'killed'],
  draining: ['serving', 'unfit', 'ended'],
  unfit: ['ended'],
  ended: [],
  killed: [],
};

const NONE: ReadonlySet<string> = new Set();
/**
 * Growth of a zygote's memory limit per living descendant, in MB. Kernel: with memory controller v1, memory that a leaf
 * allocates before it joins its own cgroup stays charged to the zygote while the leaf lives. Measured with 100 leaves
 * of zygotes of 8 to 313 MB, this is 0.23 MB per leaf plus page tables of 2 KB per MB of the zygote. Without this
 * growth, a few hundred paused leaves fill the zygote's limit, and the kernel kills the zygote with all its leaves.
 */
const MB_PER_DESCENDANT = 4;
/** Number of descendants for which the limit is raised at a time. */
const DESCENDANTS_STEP = 16;

export class ZygoteProcess implements Holder, Ancestor {
  readonly slot: Slot;
  readonly parent: ZygoteProcess | undefined;
  readonly pins: readonly PinKey[];
  /** Forks that have been ordered and not completed. The lease of each counts as a descendant, too. */
  inFlight = 0;
  /** Number of leaves so far, including used spares. */
  forks = 0;
  /** Number of these leaves that were spares. */
  fromSpares = 0;
  /** Memory of the zygote itself, in MB; memory shared with the parent is charged to the parent. */
  mb = 0;
  lastUsedMs = Date.now();
  spares: Parked | undefined;
  readonly sinceMs = Date.now();
  private readonly life = new Phases('a zygote', ZYGOTE_MOVES, 'serving');
  private descendants = 0;
  private roomFor = 0;
  private freed: Promise<void> | undefined;

  constructor(private readonly parts: ZygoteParts) {
    this.slot = parts.slot;
    this.parent = parts.parent;
    this.pins = parts.pins;
    this.makeRoom();
    void this.slot.exited.then(() => {
      this.life.tryMove('killed');
      return this.end();
    });
  }

  /** Whether the zygote ended without a drain or end() call. */
  get wasKilled(): boolean {
    return this.life.phase === 'killed';
  }

  /** Whether new forks may be ordered. */
  get isReady(): boolean {
    return !this.draining && this.slot.isUsable;
  }

  /** Whether the zygote no longer serves. */
  get draining(): boolean {
    return this.life.phase !== 'serving';
  }

  /** Number of ancestors. */
  get depth(): number {
    return this.parent === undefined ? 0 : 1 + this.parent.depth;
  }

  get savedMs(): number {
    return this.forks * this.parts.importMs;
  }

  get submodules(): ReadonlySet<string> {
    return this.parts.submodules ?? NONE;
  }

  get importMs(): number {
    return this.parts.importMs;
  }

  /** Counts one descendant; release() reverses this. */
  retain(): void {
    this.descendants++;
    if (this.descendants > this.roomFor) this.makeRoom();
  }

  release(): void {
    this.descendants--;
    this.endIfUnused();
  }

  /** Records a fork that is about to become a leaf. */
  markUsed(): void {
    this.forks++;
    this.lastUsedMs = Date.now();
  }

  /** Stops new forks, and ends the zygote after its last descendant. */
  async drain(): Promise<void> {
    this.life.tryMove('draining');
    await this.spares?.drop();
    this.endIfUnused();
  }

  /** Allows forks again, unless the zygote has ended or is unfit. */
  revive(): void {
    this.life.tryMove('serving');
  }

  /** Forbids further forks for good, although the zygote's leaves live. drain() then ends the zygote. */
  condemn(): void {
    this.life.tryMove('unfit');
  }

  /** Ends the zygote and all its descendants now. Idempotent, never rejects. */
  end(): Promise<void> {
    this.life.tryMove('ended');
    this.freed ??= this.free();
    return this.freed;
  }

  /** Charges the measured memory, given in bytes. */
  setUsage(memBytes: number): void {
    this.mb = Math.max(1, Math.ceil(memBytes / MEGABYTE));
    this.parts.lease.charge.measured(this.mb);
  }

  candidate(nowMs: number): Candidate | undefined {
    if (this.descendants > 0 || this.freed !== undefined) return undefined;
    return {
      id: `zygote slot ${this.slot.id}`,
      action: 'destroy',
      keptAs: 'zygote',
      freesMb: this.mb,
      savesMs: this.parts.importMs,
      idleMs: nowMs - this.lastUsedMs,
    };
  }

  async reclaim(): Promise<void> {
    await this.drain();
  }

  /**
   * POLICY: the limit is never lowered: the kernel may refuse a limit below the memory in use, and an unused limit
   * costs nothing.
   */
  private makeRoom(): void {
    this.roomFor += DESCENDANTS_STEP;
    const { limits } = this.slot;
    const memMb = limits.memMb + DESCENDANTS_STEP * MB_PER_DESCENDANT;
    if (limits.memMb > 0) this.slot.orderLimits({ ...limits, memMb });
  }

  private endIfUnused(): void {
    if (this.draining && this.descendants === 0) void this.end();
  }

  private async free(): Promise<void> {
    await this.spares?.drop();
    await this.parts.lease.free('the zygote has ended');
    this.parts.onGone(this);
  }
}
