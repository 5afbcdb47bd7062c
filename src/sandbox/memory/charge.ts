/** One holder's share of the memory pool. */
import { ArgyleError } from '../../errors';

/** The kinds of memory holders. A paused instance is charged less than a running one. */
export type MemoryTier = 'instance' | 'paused' | 'spare' | 'zygote' | 'installer';

/** The part of the memory pool that charges use. */
export interface Chargeable {
  /** Raises a share as soon as memory is free. @throws ArgyleError MEMORY_EXHAUSTED, SANDBOX_DEAD */
  grow(charge: Charge, byMb: number): Promise<void>;
  /** Sets a share at once. */
  charge(charge: Charge, mb: number): void;
  retier(charge: Charge, tier: MemoryTier): void;
  /** Records whether the owner is about to return the share, or most of it. */
  expect(charge: Charge, isComing: boolean): void;
  /** Removes a released charge from the queue. */
  cancel(charge: Charge): void;
}

/** One holder's share of the pool. */
export class Charge {
  /** MB charged now. */
  mb = 0;
  private released = false;
  private ending = false;

  constructor(
    private readonly pool: Chargeable,
    /** For reports only. */
    public tier: MemoryTier,
    /** The function that the charge is for; '' for a holder that serves all functions. */
    readonly owner: string,
  ) {}

  /** Changes the tier of the charge. */
  move(tier: MemoryTier): void {
    this.pool.retier(this, tier);
  }

  /**
   * Tells the pool whether the owner is about to return the share, or most of it: by a pause or by its end. Until then
   * the pool evicts no other holder for this memory.
   */
  returning(isComing: boolean): void {
    if (!this.released && !this.ending) this.pool.expect(this, isComing);
  }

  /**
   * Tells the pool that the owner ends, so that the whole share returns. Later measurements are ignored: after one, the
   * pool would no longer expect the share, and would evict another holder.
   */
  ends(): void {
    this.returning(true);
    this.ending = true;
  }

  /**
   * Raises or lowers the share to `mb`. Raising waits in the queue.
   *
   * @throws ArgyleError MEMORY_EXHAUSTED after the pool's timeout, SANDBOX_DEAD when the charge was released
   */
  async resize(mb: number): Promise<void> {
    if (this.released) throw new ArgyleError('SANDBOX_DEAD', 'its memory was given back');
    if (mb > this.mb) await this.pool.grow(this, mb - this.mb);
    else this.pool.charge(this, mb);
  }

  /**
   * Sets the share to the measured memory at once. The share may exceed the budget, because the memory is already in
   * use.
   */
  measured(mb: number): void {
    if (!this.released && !this.ending) this.pool.charge(this, mb);
  }

  /** Returns the whole share to the pool. Idempotent. */
  release(): void {
    if (this.released) return;
    this.released = true;
    this.pool.charge(this, 0);
    this.pool.cancel(this);
  }
}
