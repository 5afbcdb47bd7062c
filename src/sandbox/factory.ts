/**
 * Makes leaves: fresh, forked from a zygote, or from a parked spare.
 *
 * Order of events of a start, after the wait for memory and the wait for a slot. When memory is free and a slot is
 * ready, each of these two waits costs one microtask.
 * 1. One FFI call submits AG_SPAWN, AG_FORK or AG_GO. The helper and the zygote then work on other CPUs.
 * 2. In parallel, the worker writes the boot frame on the connection that was made with the slot.
 * 3. The completion arrives and create() resolves. The caller's request goes out on the connection while the guest
 *    imports the handler.
 */
import { join } from 'node:path';
import { Role } from '../helper/protocol';
import { LeafRegistry, type LeafRegistryOptions, type LeafHooks } from './leaf-registry';
import { LeafSandbox } from './leaf';
import { Lease } from './lease';
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

  /**
   * Makes a leaf in a fresh process.
   *
   * @param lease as for fork()
   * @throws ArgyleError SANDBOX_CREATE, MEMORY_EXHAUSTED, HELPER_*.
   */
  fresh(spec: LeafSpec, hooks: LeafHooks = {}, lease = new Lease()): Promise<Sandbox> {
    return this.make(spec, hooks, lease, {
      kind: 'fresh',
      slot: () => this.options.slots.take(spec.limits),
      submit: (slot, shown) => slot.spawn(Role.LEAF, shown),
    });
  }

  /**
   * Forks a leaf from the zygote in `source`.
   *
   * @param lease holds what the caller has reserved for the leaf; freed on failure, and when the leaf is destroyed
   * @throws ArgyleError as fresh(), and ZYGOTE_FAILED when the zygote died or refused.
   */
  fork(source: Slot, spec: LeafSpec, hooks: LeafHooks = {}, lease = new Lease()): Promise<Sandbox> {
    return this.make(spec, hooks, lease, {
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

  /**
   * Forks a parked child from the zygote in `source`, for go(). @throws ArgyleError as fork(); then `lease` is freed.
   */
  async park(source: Slot, limits: SandboxLimits, lease: Lease): Promise<Slot> {
    try {
      const slot = lease.hold(await this.options.slots.take(limits));
      await slot.forkFrom(source, Role.LEAF, {}, true);
      return slot;
    } catch (error) {
      await lease.free('it could not be forked');
      throw error;
    }
  }

  /**
   * Turns a parked child into a leaf. The parked child is used up even when this call fails.
   *
   * @param lease the spare's; its charge is replaced as soon as the leaf has a charge of its own
   */
  go(spare: Slot, spec: LeafSpec, parentPid: number, lease: Lease, hooks: LeafHooks = {}): Promise<Sandbox> {
    return this.make(spec, hooks, lease, {
      kind: 'spare',
      slot: () => {
        spare.orderLimits(spec.limits);
        return Promise.resolve(spare);
      },
      submit: (slot, shown) => slot.go(shown),
      parentPid,
    });
  }

  /** Destroys every leaf. */
  close(reason: string): Promise<void> {
    return this.leaves.close(reason);
  }

  private make(spec: LeafSpec, hooks: LeafHooks, lease: Lease, start: Start): Promise<Sandbox> {
    return this.leaves.make(spec, hooks, lease, async (id) => {
      const slot = lease.hold(await start.slot());
      const view = await this.options.slots.views.of(spec.packages.map(({ spec: name }) => name));
      hooks.ownedBy?.(slot);
      const started = start.submit(slot, { code: spec.codeName, view });
      // The constructor writes the boot frame.
      const leaf = lease.hold(
        new LeafSandbox({
          id,
          slot,
          start: start.kind,
          spec,
          parentPid: start.parentPid,
          codeDir: join(this.options.codeDir, spec.codeName),
          onBoot: hooks.onBoot,
          handOver: hooks.ownedBy !== undefined,
        }),
      );
      await started;
      return leaf;
    });
  }
}
