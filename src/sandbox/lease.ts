/**
 * The resources of a sandbox, a spare, a zygote or an installer: a share of the memory pool, a slot or container, and
 * its place among a zygote's descendants. Only free() returns them.
 */
import type { Charge } from './memory/charge';

/** A slot, a container, or the leaf in it. */
export interface Held {
  /** Idempotent, never rejects. */
  destroy(reason: string): Promise<void>;
}

/** A zygote, which must not end before its descendants. */
export interface Ancestor {
  retain(): void;
  release(): void;
}

export class Lease {
  private share: Charge | undefined;
  private held: Held | undefined;
  private ancestor: Ancestor | undefined;
  private freed: Promise<void> | undefined;

  /** @param charge a share of the memory pool that the lease takes over */
  constructor(charge?: Charge) {
    this.share = charge;
  }

  /** The share of the memory pool. Valid after the constructor or recharge() was given a share. */
  get charge(): Charge {
    if (this.share === undefined) throw new Error('the lease has no share of the memory pool');
    return this.share;
  }

  /** Takes over a share of the memory pool, and releases the share that the lease held before. */
  recharge(charge: Charge): void {
    this.share?.release();
    this.share = charge;
    if (this.freed !== undefined) charge.release();
  }

  /** Takes over a slot or container. A leaf replaces its slot, because the leaf's destroy() destroys the slot. */
  hold<T extends Held>(held: T): T {
    this.held = held;
    // The lease was freed while the slot was being made.
    if (this.freed !== undefined) void held.destroy('its memory was given back');
    return held;
  }

  /** Counts the holder as a descendant of a zygote. */
  descendFrom(ancestor: Ancestor): void {
    ancestor.retain();
    this.ancestor = ancestor;
  }

  /**
   * Destroys the slot or container, and then returns the memory and the zygote's reference. Idempotent, never rejects.
   */
  free(reason: string): Promise<void> {
    this.freed ??= this.giveBack(reason);
    return this.freed;
  }

  /** Order: the slot is destroyed first, because until then its memory is in use and the zygote's descendant lives. */
  private async giveBack(reason: string): Promise<void> {
    this.share?.ends();
    await this.held?.destroy(reason);
    this.share?.release();
    this.ancestor?.release();
  }
}
