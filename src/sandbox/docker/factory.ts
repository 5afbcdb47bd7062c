/** Makes leaves in containers. Containers cannot be forked, so every leaf is fresh. */
import { join } from 'node:path';
import { ArgyleError } from '../../errors';
import { LeafRegistry, type LeafRegistryOptions, type LeafHooks } from '../leaf-registry';
import { LeafSandbox } from '../leaf';
import { Lease } from '../lease';
import type { LeafSpec, Sandbox, SandboxProvider } from '../types';
import type { PackageViews } from '../slot/views';
import { Container, type ContainerParts } from './container';

/** User and group of guests: the user `nobody`, with the id that all systems use. */
export const NOBODY = { uid: 65534, gid: 65534 };

export interface DockerFactoryOptions extends LeafRegistryOptions {
  containerParts: ContainerParts;
  /** `<worker_dir>/code`. */
  codeDir: string;
  /** The views that sandboxes see on /packages. */
  views: PackageViews;
  /** The engine's name of a network mode. */
  network: string;
}

export class DockerFactory implements SandboxProvider {
  private readonly leaves: LeafRegistry;

  constructor(private readonly options: DockerFactoryOptions) {
    this.leaves = new LeafRegistry(options);
  }

  /** Same as fresh(); part of SandboxProvider. */
  create(spec: LeafSpec): Promise<Sandbox> {
    return this.fresh(spec);
  }

  /** Makes a leaf in a new container. @throws ArgyleError DOCKER_ENGINE, SANDBOX_CREATE, MEMORY_EXHAUSTED. */
  fresh(spec: LeafSpec, hooks: LeafHooks = {}): Promise<Sandbox> {
    const { containerParts, codeDir, network, views } = this.options;
    const lease = new Lease();
    return this.leaves.make(spec, hooks, lease, async (id) => {
      const container = lease.hold(await Container.make(containerParts));
      const handOver = hooks.ownedBy !== undefined;
      const dir = join(codeDir, spec.codeName);
      const view = await views.of(spec.packages.map(({ spec: name }) => name));
      const parts = { id, slot: container, start: 'fresh' as const, spec, parentPid: undefined, codeDir: dir };
      const shown = { codeDir: dir, ...(view === '' ? {} : { viewDir: join(codeDir, view) }) };
      // Order: the leaf is made before serve(), because the guest's first connection must carry the boot frame.
      const leaf = lease.hold(new LeafSandbox({ ...parts, onBoot: hooks.onBoot, handOver }));
      if (handOver) await container.serve();
      hooks.ownedBy?.(container);
      await container.start({ role: 'leaf', limits: spec.limits, network, user: NOBODY, ...shown });
      return leaf;
    });
  }

  /** @throws ArgyleError ZYGOTE_FAILED, always. */
  fork(): Promise<Sandbox> {
    return Promise.reject(new ArgyleError('ZYGOTE_FAILED', 'docker sandboxes cannot be forked'));
  }

  /** Every leaf that is not destroyed, oldest first. */
  list(): readonly Sandbox[] {
    return this.leaves.list();
  }

  /** Destroys every leaf. */
  close(reason: string): Promise<void> {
    return this.leaves.close(reason);
  }
}
