/**
 * Makes leaves: fresh, forked from a zygote, or out of a parked spare.
 *
 * The hot path's order of events, with memory free and a slot ready (both then cost a microtask):
 *   1. one FFI call submits AG_SPAWN, AG_FORK or AG_GO; the helper and the zygote work from here on, on other CPUs;
 *   2. meanwhile (for a spare: before) the boot frame is written on the connection that was made with the slot; the
 *      guest reads it while the helper binds the code;
 *   3. the completion arrives; create() resolves and the caller's request goes out on the connection, while the guest
 *      imports the handler.
 */
import { join } from 'node:path';
import { Role } from '../helper/protocol';
import { LeafKeeper, type KeeperOptions, type LeafHooks } from './keeper';
import { LeafSandbox } from './leaf';
import type { Charge } from './pool';
import type { Slot } from './slot';
import type { SlotPool } from './slots';
import type { LeafSpec, Sandbox, SandboxLimits, StartKind } from './types';

export type { LeafHooks } from './keeper';

export interface FactoryOptions extends KeeperOptions {
  slots: SlotPool;
  /** `<worker_dir>/code`. */
  codeDir: string;
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
  private readonly keeper: LeafKeeper;

  constructor(private readonly options: FactoryOptions) {
    this.keeper = new LeafKeeper(options);
  }

  /** Every leaf that is not destroyed, oldest first. */
  list(): readonly Sandbox[] {
    return this.keeper.list();
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
  close(reason: string): Promise<void> {
    return this.keeper.close(reason);
  }

  private make(spec: LeafSpec, hooks: LeafHooks, start: Start): Promise<Sandbox> {
    return this.keeper.make(spec, hooks, async (id, undo) => {
      const slot = await start.slot();
      undo(() => slot.destroy());
      hooks.ownedBy?.(slot);
      // Writes the boot frame.
      const greet = (): LeafSandbox =>
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
      // A spare is there already, and reads its boot frame while the order is still under way.
      const early = start.kind === 'spare' ? greet() : undefined;
      const started = start.submit(slot);
      const leaf = early ?? greet();
      undo((why) => leaf.destroy(why));
      await started;
      return leaf;
    });
  }
}
