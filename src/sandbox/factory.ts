/**
 * Makes leaves: fresh, forked from a zygote, or out of a parked spare.
 *
 * The hot path's order of events, with memory free and a slot ready (both then cost a microtask):
 *   1. one FFI call submits AG_SPAWN, AG_FORK or AG_GO; the helper and the zygote work from here on, on other CPUs;
 *   2. meanwhile the slot's socket is connected and the boot frame written;
 *   3. the completion arrives; create() resolves and the caller's request goes out on the connection, while the guest
 *      accepts, reads the boot frame and imports the handler.
 */
import { join } from 'node:path';
import { Role } from '../helper/protocol';
import { asArgyleError } from '../errors';
import type { Stats } from '../metrics';
import { GuardedSandbox } from './guarded';
import type { BootInfo } from './guest-http';
import { LeafSandbox } from './leaf';
import type { Charge, MemoryPool } from './pool';
import type { Slot } from './slot';
import type { SlotPool } from './slots';
import type { LeafSpec, Sandbox, SandboxLimits, StartKind } from './types';

export interface FactoryOptions {
  slots: SlotPool;
  pool: MemoryPool;
  stats: Stats;
  /** `<worker_dir>/code`. */
  codeDir: string;
  /** features.downsize_paused_mem. */
  downsizePaused: boolean;
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
   * when it is idle, and so never pauses or evicts it. Called with the slot as soon as there is one.
   */
  ownedBy?: (slot: Slot) => void;
}

interface Start {
  kind: StartKind;
  /** Takes or hands over the slot. */
  slot: () => Promise<Slot>;
  /** Submits the order that starts the guest. */
  submit: (slot: Slot) => Promise<unknown>;
  parentPid?: number;
}

export class SandboxFactory {
  private readonly live = new Set<GuardedSandbox>();
  private lastId = 0;

  constructor(private readonly options: FactoryOptions) {}

  /** Every leaf that is not destroyed, oldest first. */
  list(): readonly Sandbox[] {
    return [...this.live];
  }

  /** A leaf in a fresh process. @throws ArgyleError SANDBOX_CREATE, MEMORY_EXHAUSTED, HELPER_*. */
  fresh(spec: LeafSpec, hooks: LeafHooks = {}): Promise<Sandbox> {
    return this.make(spec, hooks, {
      kind: 'fresh',
      slot: () => this.options.slots.take(spec.limits),
      submit: (slot) => slot.spawn(Role.LEAF, spec.codeName),
    });
  }

  /**
   * A leaf forked from the zygote in `source`.
   *
   * @throws ArgyleError as fresh(), and ZYGOTE_FAILED when the zygote died or refused.
   */
  fork(source: Slot, spec: LeafSpec, hooks: LeafHooks = {}): Promise<Sandbox> {
    return this.make(spec, hooks, {
      kind: 'fork',
      slot: () => this.options.slots.take(spec.limits),
      submit: async (slot) => {
        const startMs = performance.now();
        await slot.forkFrom(source, Role.LEAF, spec.codeName);
        this.options.stats.record('fork()', performance.now() - startMs);
      },
      parentPid: source.pid,
    });
  }

  /** A parked child of the zygote in `source`, for go(). @throws ArgyleError as fork(). */
  async park(source: Slot, limits: SandboxLimits): Promise<Slot> {
    const slot = await this.options.slots.take(limits);
    try {
      await slot.forkFrom(source, Role.LEAF, '', true);
      return slot;
    } catch (error) {
      await slot.destroy();
      throw error;
    }
  }

  /**
   * A leaf out of a parked child, which is used up even when this fails.
   *
   * @param charge the spare's share of the memory pool; given back once the leaf has its own.
   */
  async go(spare: Slot, spec: LeafSpec, parentPid: number, charge: Charge, hooks: LeafHooks = {}): Promise<Sandbox> {
    try {
      return await this.make(spec, hooks, {
        kind: 'spare',
        slot: () => {
          charge.release();
          spare.orderLimits(spec.limits);
          return Promise.resolve(spare);
        },
        submit: (slot) => slot.go(spec.codeName),
        parentPid,
      });
    } catch (error) {
      void spare.destroy().then(() => {
        charge.release();
      });
      throw error;
    }
  }

  /** Destroys every leaf. */
  async close(reason: string): Promise<void> {
    await Promise.all([...this.live].map((sandbox) => sandbox.destroy(reason)));
  }

  private async make(spec: LeafSpec, hooks: LeafHooks, start: Start): Promise<Sandbox> {
    const { pool, stats } = this.options;
    const startMs = performance.now();
    const chargeMb = spec.limits.memMb === 0 ? this.options.defaultMemMb : spec.limits.memMb;
    const charge = await pool.acquire(chargeMb);
    const waitMs = performance.now() - startMs;
    stats.record('Create()/acquire-mem', waitMs);
    hooks.onMemory?.(waitMs, chargeMb);
    const id = String(++this.lastId);
    let slot: Slot | undefined;
    let leaf: LeafSandbox | undefined;
    try {
      slot = await start.slot();
      hooks.ownedBy?.(slot);
      const started = start.submit(slot);
      leaf = new LeafSandbox({
        id,
        slot,
        start: start.kind,
        spec,
        parentPid: start.parentPid,
        codeDir: join(this.options.codeDir, spec.codeName),
        onBoot: hooks.onBoot,
        handOver: hooks.ownedBy !== undefined,
      });
      await started;
    } catch (thrown) {
      const error = asArgyleError('SANDBOX_CREATE', thrown);
      // Nobody waits for the clean-up of what never was; the memory comes back when it is done.
      const gone = leaf?.destroy(error.message) ?? slot?.destroy() ?? Promise.resolve();
      void gone.then(() => {
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
