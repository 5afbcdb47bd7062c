/**
 * The parts common to all leaves, in slots and in containers: a share of the memory pool, an id, a guard and
 * destruction.
 */
import { asArgyleError } from '../errors';
import type { Stats } from '../metrics';
import type { BootInfo } from './answer/boot-report';
import { GuardedSandbox } from './guarded';
import type { Lease } from './lease';
import type { MemoryPool } from './memory/memory-pool';
import { ThrashWatch } from './memory/thrash-watch';
import type { LeafSpec, PlainSandbox, Sandbox, ZygoteTier } from './types';

export interface LeafRegistryOptions {
  pool: MemoryPool;
  stats: Stats;
  /** Value of features.downsize_paused_mem. */
  downsizePaused: boolean;
  /** argyle.end_thrashing; true when absent. */
  endThrashing?: boolean;
  /** limits.mem_mb in MB: the charge of a sandbox without a memory limit. */
  defaultMemMb: number;
}

/** Callbacks and properties that the creator of a leaf passes in. */
export interface LeafHooks {
  /** Called once, with the boot report of the first response. */
  onBoot?: (info: BootInfo) => void;
  /** Called once, when the leaf has its share of memory: with the wait in ms, and the share in MB. */
  onMemory?: (waitMs: number, mb: number) => void;
  /** Called when the idle leaf is evicted, with the freed memory in MB. */
  onEvicted?: (mb: number) => void;
  /** Called once, after the sandbox is destroyed. */
  onDestroyed?: () => void;
  /** Kind of the zygote that the leaf is forked from. */
  tier?: ZygoteTier;
  /** Cold-start time that the next use saves when the leaf is kept, in ms, for the evictor; 0 when unknown. */
  savesMs?: () => number;
  /**
   * Set for a sandbox whose owner uses the guest's socket directly. The worker then keeps no connection and cannot know
   * when the sandbox is idle, so the worker never pauses or evicts it. Called with the name of the socket in
   * `<worker_dir>/scratch` as soon as the name exists.
   */
  ownedBy?: (slot: { readonly socketName: string }) => void;
}

export class LeafRegistry {
  private readonly live = new Set<GuardedSandbox>();
  private readonly watch: ThrashWatch | undefined;
  private lastId = 0;

  constructor(private readonly options: LeafRegistryOptions) {
    if (options.endThrashing !== false) this.watch = new ThrashWatch(() => this.live);
  }

  /** Every leaf that is not destroyed, oldest first. */
  list(): readonly Sandbox[] {
    return [...this.live];
  }

  /** Destroys every leaf. */
  async close(reason: string): Promise<void> {
    this.watch?.close();
    await Promise.all([...this.live].map((sandbox) => sandbox.destroy(reason)));
  }

  /**
   * Charges the pool for a leaf, builds the leaf with `build`, and wraps the leaf in a guard.
   * @param lease receives the charge and the leaf; freed on failure, and when the sandbox is destroyed
   * @param build gives `lease` its slot or container, and then the leaf
   * @throws ArgyleError MEMORY_EXHAUSTED, or the error of `build`, else SANDBOX_CREATE.
   */
  async make(
    spec: LeafSpec,
    hooks: LeafHooks,
    lease: Lease,
    build: (id: string) => Promise<PlainSandbox>,
  ): Promise<GuardedSandbox> {
    const { pool, stats } = this.options;
    const startMs = performance.now();
    const chargeMb = spec.limits.memMb === 0 ? this.options.defaultMemMb : spec.limits.memMb;
    let leaf: PlainSandbox;
    try {
      lease.recharge(await pool.acquire(chargeMb, 'instance', spec.boot.name));
      const waitMs = performance.now() - startMs;
      stats.record('Create()/acquire-mem', waitMs);
      hooks.onMemory?.(waitMs, chargeMb);
      leaf = await build(String(++this.lastId));
    } catch (thrown) {
      const error = asArgyleError('SANDBOX_CREATE', thrown);
      // The caller does not wait for the clean-up.
      void lease.free(error.message);
      throw error;
    }
    const sandbox: GuardedSandbox = new GuardedSandbox(leaf, {
      pool,
      lease,
      chargeMb,
      evictable: hooks.ownedBy === undefined,
      downsizePaused: this.options.downsizePaused,
      stats,
      tier: hooks.tier,
      savesMs: () => hooks.savesMs?.() ?? 0,
      onEvicted: (mb) => {
        hooks.onEvicted?.(mb);
      },
      onDestroyed: () => {
        this.live.delete(sandbox);
        hooks.onDestroyed?.();
      },
    });
    this.live.add(sandbox);
    stats.record('Create()', performance.now() - startMs);
    return sandbox;
  }
}
