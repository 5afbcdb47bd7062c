/**
 * A running zygote. Everything forked from it, and from its children, is nested in its pid namespace and dies with it,
 * so it counts its descendants and is only ended when none is left.
 */
import type { Candidate } from '../sandbox/evictor';
import type { Charge, Holder } from '../sandbox/pool';
import type { Slot } from '../sandbox/slot';
import type { PinKey } from './types';

export interface ZygoteParts {
  slot: Slot;
  charge: Charge;
  parent: ZygoteProcess | undefined;
  /** Everything that it has on sys.path and so may have imported, its ancestors' included. Sorted. */
  pins: readonly PinKey[];
  /** Import ms that a fork of it does not spend. */
  importMs: number;
  /** Submodules that it was told to import besides its packages, its ancestors' not included. */
  submodules?: ReadonlySet<string>;
  /** Called once when it has ended, by whatever cause, and is freed. */
  onGone: (zygote: ZygoteProcess) => void;
}

/** What a zygote keeps ready; it must let go of it before it can end. */
export interface Parked {
  readonly size: number;
  setTarget(count: number): void;
  /** Claims one; its share of memory and its place among the zygote's descendants are then the caller's. */
  take(): { slot: Slot; charge: Charge } | undefined;
  drop(): Promise<void>;
}

const NONE: ReadonlySet<string> = new Set();
/**
 * MB by which a zygote's own limit grows with each living descendant. Where the memory controller is v1, what a leaf is
 * born with, before it is in its own cgroup, stays charged to the zygote while it lives: 0.23 MB and its page tables,
 * which are 2 KB for each MB that the zygote has, as measured with 100 leaves of zygotes of 8 to 313 MB. Without room
 * for it, some hundred paused leaves fill their zygote's limit, and it is killed with all of them.
 */
const MB_PER_DESCENDANT = 4;
/** The limit is raised for so many descendants at a time. */
const DESCENDANTS_STEP = 16;

export class ZygoteProcess implements Holder {
  readonly slot: Slot;
  readonly parent: ZygoteProcess | undefined;
  readonly pins: readonly PinKey[];
  /** Forks that have been asked for and not answered. */
  inFlight = 0;
  /** Leaves forked so far, spares once they are used. */
  forks = 0;
  /** Of these, leaves that a spare became. */
  fromSpares = 0;
  /** MB of memory that it holds itself; what it shares with its parent is the parent's. */
  mb = 0;
  lastUsedMs = Date.now();
  spares: Parked | undefined;
  /** Must never be forked again, though leaves of it live. */
  unfit = false;
  readonly sinceMs = Date.now();
  private killed = false;
  private descendants = 0;
  private roomFor = 0;
  private isDraining = false;
  private ending: Promise<void> | undefined;

  constructor(private readonly parts: ZygoteParts) {
    this.slot = parts.slot;
    this.parent = parts.parent;
    this.pins = parts.pins;
    this.parent?.retain();
    this.makeRoom();
    void this.slot.exited.then(() => {
      this.killed = !this.isDraining && this.ending === undefined;
      return this.end();
    });
  }

  /** Whether it ended while it was in use, and nobody wanted it to. */
  get wasKilled(): boolean {
    return this.killed;
  }

  /** Whether new forks may be asked of it. */
  get isReady(): boolean {
    return !this.isDraining && this.ending === undefined && this.slot.isUsable;
  }

  get draining(): boolean {
    return this.isDraining;
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

  /** Counts one descendant; release() takes it back. */
  retain(): void {
    this.descendants++;
    if (this.descendants > this.roomFor) this.makeRoom();
  }

  release(): void {
    this.descendants--;
    this.endIfUnused();
  }

  /** Notes a fork that is about to serve somebody. */
  used(): void {
    this.forks++;
    this.lastUsedMs = Date.now();
  }

  /** Takes no more forks, and ends once the last descendant has gone. */
  async drain(): Promise<void> {
    this.isDraining = true;
    await this.spares?.drop();
    this.endIfUnused();
  }

  /** Takes forks again, if it has not ended yet and nothing was found wrong with it. */
  revive(): void {
    if (this.ending === undefined && !this.unfit) this.isDraining = false;
  }

  /** Ends it now, and with it all its descendants. Idempotent, never rejects. */
  end(): Promise<void> {
    this.ending ??= this.free();
    return this.ending;
  }

  /** Memory it holds, charged as measured. */
  setUsage(mb: number): void {
    this.mb = mb;
    this.parts.charge.measured(mb);
  }

  candidate(nowMs: number): Candidate | undefined {
    if (this.descendants > 0 || this.inFlight > 0 || this.ending !== undefined) return undefined;
    return {
      id: `zygote slot ${this.slot.id}`,
      action: 'destroy',
      keptAs: 'zygote',
      freesMb: this.mb,
      savesMs: this.parts.importMs,
      idleMs: nowMs - this.lastUsedMs,
    };
  }

  async relieve(): Promise<void> {
    await this.drain();
  }

  /** POLICY: never taken back, since a limit below what is in use would be refused, and an unused one costs nothing. */
  private makeRoom(): void {
    this.roomFor += DESCENDANTS_STEP;
    const { limits } = this.slot;
    const memMb = limits.memMb + DESCENDANTS_STEP * MB_PER_DESCENDANT;
    if (limits.memMb > 0) this.slot.orderLimits({ ...limits, memMb });
  }

  private endIfUnused(): void {
    if (this.isDraining && this.descendants === 0 && this.inFlight === 0) void this.end();
  }

  private async free(): Promise<void> {
    this.isDraining = true;
    await this.spares?.drop();
    await this.slot.destroy();
    this.parts.charge.release();
    this.parent?.release();
    this.parts.onGone(this);
  }
}
