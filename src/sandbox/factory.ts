/**
 * Makes leaves: fresh, forked from a zygote, or from a parked spare.
 *
 * Order of events on the hot path. With free memory and a ready slot, each of these two waits costs one microtask.
 * 1. One FFI call submits AG_SPAWN, AG_FORK or AG_GO. The helper and the zygote then work on other CPUs.
 * 2. In parallel, the worker writes the boot frame on the connection that was made with the slot. For a spare, the
 *    worker writes the boot frame before step 1. The guest reads the boot frame while the helper binds the code.
 * 3. The completion arrives and create() resolves. The caller's request goes out on the connection while the guest
 *    imports the handler.
 */
import { join } from 'node:path';
import { Role } from '../helper/protocol';
import { LeafRegistry, type LeafRegistryOptions, type LeafHooks } from './leaf-registry';
import { LeafSandbox } from './leaf';
import type { Charge } from './memory/memory-pool';
import type { GuestMounts, Slot } from './slot/slot';
import type { SlotPool } from './slot/slot-pool';
import type { LeafSpec, Sandbox, SandboxLimits, StartKind } from './types';

export type { LeafHooks } from './leaf-registry';

export interface FactoryOptions extends LeafRegistryOptions {
  slots: SlotPool;
  /** `<worker_dir>/code`. */
  codeDir: string;
}

interface Start {
  kind: StartKind;
  /** Returns the slot: a new one from the pool, or the slot of the spare. */
  slot: () => Promise<Slot>;
  /** Submits the order that starts the guest. The guest sees the mounts in `shown`. */
  submit: (slot: Slot, shown: GuestMounts) => Promise<unknown>;
  parentPid?: number;
}

export class SandboxFactory {
  private readonly leaves: LeafRegistry;

  constructor(private readonly options: FactoryOptions) {
    this.leaves = new LeafRegistry(options);
  }

  /** Every leaf that is not destroyed, oldest first. */
  list(): readonly Sandbox[] {
    return this.leaves.list();
  }

  /** Makes a leaf in a fresh process. @throws ArgyleError SANDBOX_CREATE, MEMORY_EXHAUSTED, HELPER_*. */
  fresh(spec: LeafSpec, hooks: LeafHooks = {}): Promise<Sandbox> {
    return this.make(spec, hooks, {
      kind: 'fresh',
      slot: () => this.options.slots.take(spec.limits),
      submit: (slot, shown) => slot.spawn(Role.LEAF, shown),
    });
  }

  /**
   * Forks a leaf from the zygote in `source`.
   *
   * @throws ArgyleError as fresh(), and ZYGOTE_FAILED when the zygote died or refused.
   */
  fork(source: Slot, spec: LeafSpec, hooks: LeafHooks = {}): Promise<Sandbox> {
    return this.make(spec, hooks, {
      kind: 'fork',
      slot: () => this.options.slots.take(spec.limits),
      submit: async (slot, shown) => {
        const startMs = performance.now();
        await slot.forkFrom(source, Role.LEAF, shown);
        this.options.stats.record('fork()', performance.now() - startMs);
      },
      parentPid: source.pid,
    });
  }

  /** Forks a parked child from the zygote in `source`, for go(). @throws ArgyleError as fork(). */
  async park(source: Slot, limits: SandboxLimits): Promise<Slot> {
    const slot = await this.options.slots.take(limits);
    try {
      await slot.forkFrom(source, Role.LEAF, {}, true);
      return slot;
    } catch (error) {
      await slot.destroy();
      throw error;
    }
  }

  /**
   * Turns a parked child into a leaf. The parked child is used up even when this call fails.
   *
   * @param charge the spare's share of the memory pool; go() releases this charge as soon as the leaf has a charge of
   *   its own
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
        submit: (slot, shown) => slot.go(shown),
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
  close(reason: string): Promise<void> {
    return this.leaves.close(reason);
  }

  private make(spec: LeafSpec, hooks: LeafHooks, start: Start): Promise<Sandbox> {
    return this.leaves.make(spec, hooks, async (id, undo) => {
      const slot = await start.slot();
      undo(() => slot.destroy());
      const view = await this.options.slots.views.of(spec.packages.map(({ spec: name }) => name));
      hooks.ownedBy?.(slot);
      // The constructor writes the boot frame.
      const bootLeaf = (): LeafSandbox =>
        new LeafSandbox({
          id,
          slot,
          start: start.kind,
          spec,
          parentPid: start.parentPid,
          codeDir: join(this.options.codeDir, spec.codeName),
          onBoot: hooks.onBoot,
          handOver: hooks.ownedBy !== undefined,
        });
      // The process of a spare already runs. The spare reads its boot frame while the helper executes the order.
      const early = start.kind === 'spare' ? bootLeaf() : undefined;
      const started = start.submit(slot, { code: spec.codeName, view });
      const leaf = early ?? bootLeaf();
      undo((why) => leaf.destroy(why));
      await started;
      return leaf;
    });
  }
}
