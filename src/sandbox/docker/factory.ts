/** Makes leaves in containers. There is nothing to fork them from: each is a fresh one. */
import { join } from 'node:path';
import { ArgyleError } from '../../errors';
import { LeafKeeper, type KeeperOptions, type LeafHooks } from '../keeper';
import { LeafSandbox } from '../leaf';
import type { LeafSpec, Sandbox, SandboxProvider } from '../types';
import { Cell, type CellParts } from './cell';

/** User and group of guests: nobody's, by the number that all systems give to nobody. */
export const NOBODY = { uid: 65534, gid: 65534 };

export interface DockerFactoryOptions extends KeeperOptions {
  cells: CellParts;
  /** `<worker_dir>/code`. */
  codeDir: string;
  /** The engine's name of a network mode. */
  network: string;
}

export class DockerFactory implements SandboxProvider {
  private readonly keeper: LeafKeeper;

  constructor(private readonly options: DockerFactoryOptions) {
    this.keeper = new LeafKeeper(options);
  }

  /** As fresh(), for functions. */
  create(spec: LeafSpec): Promise<Sandbox> {
    return this.fresh(spec);
  }

  /** A leaf in a container of its own. @throws ArgyleError DOCKER_ENGINE, SANDBOX_CREATE, MEMORY_EXHAUSTED. */
  fresh(spec: LeafSpec, hooks: LeafHooks = {}): Promise<Sandbox> {
    const { cells, codeDir, network } = this.options;
    return this.keeper.make(spec, hooks, async (id, undo) => {
      const cell = await Cell.make(cells);
      undo(() => cell.destroy());
      const handOver = hooks.ownedBy !== undefined;
      const dir = join(codeDir, spec.codeName);
      const parts = { id, slot: cell, start: 'fresh' as const, spec, parentPid: undefined, codeDir: dir };
      // Before clients are let in: the boot frame goes to the guest's first connection.
      const leaf = new LeafSandbox({ ...parts, onBoot: hooks.onBoot, handOver });
      undo((why) => leaf.destroy(why));
      if (handOver) await cell.serve();
      hooks.ownedBy?.(cell);
      await cell.start({ role: 'leaf', limits: spec.limits, network, user: NOBODY, codeDir: dir });
      return leaf;
    });
  }

  /** @throws ArgyleError ZYGOTE_FAILED, always. */
  fork(): Promise<Sandbox> {
    return Promise.reject(new ArgyleError('ZYGOTE_FAILED', 'docker sandboxes cannot be forked'));
  }

  /** Every leaf that is not destroyed, oldest first. */
  list(): readonly Sandbox[] {
    return this.keeper.list();
  }

  /** Destroys every leaf. */
  close(reason: string): Promise<void> {
    return this.keeper.close(reason);
  }
}
