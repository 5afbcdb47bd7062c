/** What all leaves have in common, whatever they live in: a share of the memory pool, an id, a guard, and an end. */
import { asArgyleError } from '../errors';
import type { Stats } from '../metrics';
import type { BootInfo } from './answer/boot-report';
import { GuardedSandbox } from './guarded';
import type { MemoryPool } from './pool';
import { ThrashWatch } from './thrash-watch';
import type { LeafSpec, Sandbox } from './types';

export interface KeeperOptions {
  pool: MemoryPool;
  stats: Stats;
  /** features.downsize_paused_mem. */
  downsizePaused: boolean;
  /** argyle.end_thrashing; true when absent. */
  endThrashing?: boolean;
  /** limits.mem_mb, which a sandbox without a memory limit is charged. */
  defaultMemMb: number;
}

/** What the maker of a leaf wants to know of it later. */
export interface LeafHooks {
  /** Told once, with the first response, how the handler's import went. */
  onBoot?: (info: BootInfo) => void;
  /** Called once it has its share of memory: ms that it waited for how many MB. */
  onMemory?: (waitMs: number, mb: number) => void;
  /** Called when it has to go, idle, to make room: MB that this frees. */
  onEvicted?: (mb: number) => void;
  /** Called once when nothing of the sandbox is left. */
  onDestroyed?: () => void;
  /** Cold-start ms that keeping it saves at its next use, for the evictor; 0 when unknown. */
  savesMs?: () => number;
  /**
   * Set for a sandbox whose owner talks to its socket himself: the worker then keeps no connection to it, cannot know
   * when it is idle, and so never pauses or evicts it. Called with the socket's name in `<worker_dir>/scratch` as soon
   * as there is one.
   */
  ownedBy?: (slot: { readonly socketName: string }) => void;
}

/** Takes note of how to free what has been made so far, in place of what it was told before. */
export type Undo = (step: (why: string) => Promise<void>) => void;

export class LeafKeeper {
  private readonly live = new Set<GuardedSandbox>();
  private readonly watch: ThrashWatch | undefined;
  private lastId = 0;

  constructor(private readonly options: KeeperOptions) {
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
   * Charges the pool for a leaf, has it built, and guards it.
   * @throws ArgyleError MEMORY_EXHAUSTED, or what `build` throws, else SANDBOX_CREATE; nothing is left then.
   */
  async make(
    spec: LeafSpec,
    hooks: LeafHooks,
    build: (id: string, undo: Undo) => Promise<Sandbox>,
  ): Promise<GuardedSandbox> {
    const { pool, stats } = this.options;
    const startMs = performance.now();
    const chargeMb = spec.limits.memMb === 0 ? this.options.defaultMemMb : spec.limits.memMb;
    const charge = await pool.acquire(chargeMb);
    const waitMs = performance.now() - startMs;
    stats.record('Create()/acquire-mem', waitMs);
    hooks.onMemory?.(waitMs, chargeMb);
    const id = String(++this.lastId);
    let undo = (_why: string): Promise<void> => Promise.resolve();
    let leaf: Sandbox;
    try {
      leaf = await build(id, (step) => {
        undo = step;
      });
    } catch (thrown) {
      const error = asArgyleError('SANDBOX_CREATE', thrown);
      // Nobody waits for the clean-up of what never was; the memory comes back when it is done.
      void undo(error.message).then(() => {
        charge.release();
      });
      throw error;
    }
    const sandbox: GuardedSandbox = new GuardedSandbox(leaf, {
      pool,
      charge,
      chargeMb,
      evictable: hooks.ownedBy === undefined,
      downsizePaused: this.options.downsizePaused,
      stats,
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
