/**
 * The sandboxes of server_mode "sock": made, paused and destroyed one by one by a client, which talks to them itself.
 *
 * A client reaches sandbox <id> by HTTP on `<worker_dir>/scratch/<id>/ol.sock`, a link to the slot's listening socket.
 * A non-leaf is a zygote: it imports its packages, and serves as the parent of later sandboxes. The client owns what it
 * made: nothing here is evicted, and creating waits until enough memory has been given back.
 */
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { ArgyleError, asArgyleError } from '../errors';
import type { SandboxFactory } from '../sandbox/factory';
import type { LeafSpec, PackageImport, SandboxLimits } from '../sandbox/types';
import type { GroupSpec, ZygoteMaker } from '../zygote/birth';
import { pinOf } from '../zygote/match';
import type { CodeDirs } from './code-dirs';
import { findEntry, resolveEnv } from './code-env';
import type { Intake } from './intake/intake';
import type { PackageService } from './ports';
import { checkServes, copyCode, freezer, ownedLeaf, type Owned } from './sock-parts';

export interface SockRequest {
  /** Directory or .tar.gz; '' for a non-leaf. */
  code: string;
  leaf: boolean;
  /** Id of a non-leaf to fork from; '' for a fresh process. */
  parent: string;
  pkgs: string[];
  runtime: 'python' | 'native';
}

export interface SockSandboxDeps {
  factory: Pick<SandboxFactory, 'fresh' | 'fork'>;
  maker: Pick<ZygoteMaker, 'make'>;
  packages: PackageService;
  intake: Intake;
  dirs: CodeDirs;
  /** `<worker_dir>/scratch`. */
  scratchDir: string;
  limits: SandboxLimits;
}

export class SockSandboxes {
  private readonly owned = new Map<string, Owned>();
  /** Ids of sandboxes that nobody knows yet. */
  private readonly making = new Set<string>();
  private lastId = 0;
  private closed = false;

  constructor(private readonly deps: SockSandboxDeps) {}

  /**
   * Makes a sandbox and returns its id. A failure leaves nothing behind.
   * @throws ArgyleError LAMBDA_CODE, REQUIREMENT_INVALID, INSTALL_FAILED, SANDBOX_*, ZYGOTE_FAILED, SHUTTING_DOWN
   */
  async create(request: SockRequest): Promise<string> {
    if (this.closed) throw new ArgyleError('SHUTTING_DOWN', 'the worker is shutting down');
    if (request.leaf && request.code === '')
      throw new ArgyleError('LAMBDA_CODE', 'leaf sandboxes must have codeDir set');
    if (!request.leaf && request.runtime !== 'python') {
      throw new ArgyleError('ZYGOTE_FAILED', 'only python sandboxes can be parents');
    }
    const parent = request.parent === '' ? undefined : this.parentOf(request.parent);
    if (parent !== undefined && request.runtime !== 'python') {
      throw new ArgyleError('SANDBOX_STATE', 'Parent and child have different runtimes');
    }
    const packages = request.pkgs.length === 0 ? [] : await this.deps.packages.ensureInstalled(request.pkgs.join('\n'));
    const id = String(++this.lastId);
    this.making.add(id);
    let entry: Owned;
    try {
      entry = request.leaf ? await this.leaf(id, request, parent, packages) : await this.zygote(id, parent, packages);
    } finally {
      this.making.delete(id);
    }
    // Who stops the worker waits for what is in the table, so a late-comer must not enter it.
    if (this.isClosed()) {
      await entry.destroy('the worker is stopping');
      throw new ArgyleError('SHUTTING_DOWN', 'the worker is shutting down');
    }
    this.owned.set(id, entry);
    return id;
  }

  /**
   * Does nothing for a sandbox that was destroyed before, as the original.
   * @throws ArgyleError SANDBOX_STATE for an unknown id; so do pause() and unpause(), and SANDBOX_DEAD
   */
  async destroy(id: string): Promise<void> {
    if (this.wasDestroyed(id)) return;
    const entry = this.find(id);
    this.owned.delete(id);
    await entry.destroy('destroyed by its owner');
  }

  async pause(id: string): Promise<void> {
    await this.find(id).pause();
  }

  async unpause(id: string): Promise<void> {
    await this.find(id).resume();
  }

  /** One description a sandbox. */
  debug(): Promise<string[]> {
    return Promise.all([...this.owned.values()].map((entry) => entry.debug()));
  }

  /** Numbers for metrics, in the terms of functions' instances; what runs in them only their owners know. */
  get counts(): { busy: number; idle: number; paused: number; starting: number } {
    return { busy: 0, idle: this.owned.size, paused: 0, starting: 0 };
  }

  /** Destroys all, leaves before the zygotes that they came from. Never rejects. */
  async close(): Promise<void> {
    this.closed = true;
    const all = [...this.owned.values()];
    this.owned.clear();
    await Promise.all(all.filter((entry) => entry.zygote === undefined).map((entry) => entry.destroy('stopping')));
    await Promise.all(all.flatMap(({ zygote }) => (zygote === undefined ? [] : [zygote.process.end()])));
  }

  private isClosed(): boolean {
    return this.closed;
  }

  /** Ids are counted up, so one that was given and is not there has been destroyed, or its making failed. */
  private wasDestroyed(id: string): boolean {
    return /^[1-9]\d{0,15}$/.test(id) && Number(id) <= this.lastId && !this.owned.has(id) && !this.making.has(id);
  }

  private find(id: string): Owned {
    const entry = this.owned.get(id);
    if (this.wasDestroyed(id)) throw new ArgyleError('SANDBOX_DEAD', `sandbox '${id}' was destroyed`);
    if (entry === undefined) throw new ArgyleError('SANDBOX_STATE', `no sandbox found with ID '${id}'`);
    return entry;
  }

  private parentOf(id: string): NonNullable<Owned['zygote']> {
    const { zygote } = this.find(id);
    if (zygote === undefined)
      throw new ArgyleError('SANDBOX_STATE', `sandbox '${id}' is a leaf and cannot be a parent`);
    if (zygote.isPaused()) throw new ArgyleError('SANDBOX_STATE', `sandbox '${id}' is paused: unpause it first`);
    if (!zygote.process.isReady) throw new ArgyleError('SANDBOX_DEAD', `sandbox '${id}' can no longer be a parent`);
    return zygote;
  }

  private async leaf(
    id: string,
    request: SockRequest,
    parent: Owned['zygote'],
    packages: PackageImport[],
  ): Promise<Owned> {
    if (parent !== undefined) checkServes(request.parent, parent.spec, packages);
    const { dirs, factory } = this.deps;
    const link = path.join(this.deps.scratchDir, id);
    const { dir, codeName } = await dirs.make('sock');
    const clean = async (): Promise<void> => {
      await Promise.all([dirs.remove(dir), fs.rm(link, { recursive: true, force: true })]);
    };
    // The fork counts as a descendant from the start: its parent must not end meanwhile.
    parent?.process.retain();
    let letGo = (): void => {
      letGo = () => undefined;
      parent?.process.release();
    };
    try {
      await copyCode(request.code, dir, this.deps.intake);
      const spec = await this.spec(request, dir, codeName, packages);
      let socketName = '';
      const hooks = {
        ownedBy: (slot: { socketName: string }) => {
          socketName = slot.socketName;
        },
        onDestroyed: () => {
          letGo();
        },
      };
      const sandbox =
        parent === undefined || request.runtime === 'native'
          ? await factory.fresh(spec, hooks)
          : await factory.fork(parent.process.slot, spec, hooks);
      parent?.process.used();
      try {
        await fs.mkdir(link, { recursive: true });
        await fs.symlink(path.join('..', socketName), path.join(link, 'ol.sock'));
      } catch (error) {
        await sandbox.destroy('its socket could not be named');
        throw error;
      }
      return ownedLeaf(id, sandbox, clean);
    } catch (thrown) {
      letGo();
      await clean();
      throw asArgyleError('SANDBOX_CREATE', thrown);
    }
  }

  private async spec(
    request: SockRequest,
    dir: string,
    codeName: string,
    packages: PackageImport[],
  ): Promise<LeafSpec> {
    const env = await resolveEnv(dir, {});
    const entryFile = request.runtime === 'native' ? 'f.bin' : (await findEntry(dir, env)).entryFile;
    return {
      boot: {
        role: 'leaf',
        name: codeName,
        runtime: request.runtime,
        entry_file: entryFile,
        sys_path: packages.map(({ spec }) => `/packages/${spec}/files`).reverse(),
        env,
      },
      codeName,
      limits: this.deps.limits,
      packages,
    };
  }

  private async zygote(id: string, parent: Owned['zygote'], packages: PackageImport[]): Promise<Owned> {
    const inherited = new Set(parent?.spec.pins);
    const imports = new Map(packages.map((found) => [pinOf(found.spec).key, found] as const));
    const spec: GroupSpec = {
      id: `sock ${id}`,
      parent: parent?.spec.id,
      pins: [...new Set([...inherited, ...imports.keys()])].sort(),
      imports: new Map([...imports].filter(([key]) => !inherited.has(key))),
      path: [...packages.map(({ spec: name }) => name).reverse(), ...(parent?.spec.path ?? [])],
    };
    // Its death is seen by who forks from it, and by /pause.
    const process = await this.deps.maker.make(spec, parent?.process, () => undefined);
    const frozen = freezer(process.slot, id);
    return {
      zygote: { process, spec, isPaused: frozen.isPaused },
      pause: frozen.pause,
      resume: frozen.resume,
      // The processes forked from it go on; it ends with the last of them.
      destroy: async () => {
        await frozen.resume().catch(() => undefined);
        await process.drain();
      },
      debug: async () => {
        const usage = await process.slot.usage().catch(() => undefined);
        if (usage === undefined) return `SANDBOX ${id} is DEAD: its process ended\n`;
        const state = usage.frozen ? 'FROZEN' : 'THAWED';
        return `SOCK ${id} (zygote: ${spec.pins.join(' ')})\nCGROUP PIDS: ${usage.pids}\nFREEZE STATE: ${state}\n`;
      },
    };
  }
}
