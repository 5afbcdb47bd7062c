/**
 * The sandboxes of server_mode "sock". A client makes, pauses and destroys each one, and sends requests to it directly.
 *
 * A client reaches sandbox <id> by HTTP on `<worker_dir>/scratch/<id>/ol.sock`, a link to the slot's listening socket.
 * A non-leaf is a zygote: it imports its packages, and later sandboxes are forked from it. The client owns its
 * sandboxes: none is evicted. A request for a sandbox waits until enough memory has been returned.
 */
import { mkdirSync, rmdirSync, rmSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { ArgyleError, asArgyleError } from '../../errors';
import type { SandboxFactory } from '../../sandbox/factory';
import { debugText } from '../../sandbox/leaf';
import { Lease } from '../../sandbox/lease';
import type { LeafSpec, PackageImport, SandboxLimits } from '../../sandbox/types';
import type { GroupSpec, ZygoteMaker } from '../../zygote/fleet/zygote-maker';
import { pinOf } from '../../zygote/policy/match';
import type { CodeDirs } from '../code/directories';
import type { Intake } from '../code/intake/intake';
import type { PackageService } from '../ports';
import { SockCopies, type SockCode } from './sock-code';
import { checkServes, freezer, ownedLeaf, type Owned } from './sock-parts';

export interface SockRequest {
  /** Directory or .tar.gz; '' for a non-leaf. */
  code: string;
  leaf: boolean;
  /** Id of the non-leaf to fork from; '' for a fresh process. */
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
  /** Code must have been unchanged for this time before sandboxes share a copy, in ms; absent for the default. */
  settledMs?: number;
}

/**
 * Links the slot's socket to the path where the client expects it. The calls are synchronous: each takes some
 * microseconds, which is less than a switch to a thread.
 */
function nameSocket(link: string, socketName: string): void {
  mkdirSync(link, { recursive: true });
  symlinkSync(join('..', socketName), join(link, 'ol.sock'));
}

function unnameSocket(link: string): void {
  try {
    unlinkSync(join(link, 'ol.sock'));
    rmdirSync(link);
  } catch {
    // The link was never made, or the client has left files in the directory.
    rmSync(link, { recursive: true, force: true });
  }
}

export class SockSandboxes {
  private readonly copies: SockCopies;
  private readonly owned = new Map<string, Owned>();
  /** Ids of sandboxes that are being made. */
  private readonly making = new Set<string>();
  /** Number of sandboxes that are being destroyed for a client. */
  private ending = 0;
  private lastId = 0;
  private closed = false;

  constructor(private readonly deps: SockSandboxDeps) {
    this.copies = new SockCopies(deps.dirs, deps.intake, deps.settledMs);
  }

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
    // close() destroys the sandboxes in the table, so a sandbox that is made after close() must not enter the table.
    if (this.isClosed()) {
      await entry.destroy('the worker is stopping');
      throw new ArgyleError('SHUTTING_DOWN', 'the worker is shutting down');
    }
    this.owned.set(id, entry);
    return id;
  }

  /**
   * Destroys a sandbox. As in the original, a sandbox that was destroyed before is no error.
   * @throws ArgyleError SANDBOX_STATE for an unknown id. pause() and unpause() throw it, too, and SANDBOX_DEAD.
   */
  async destroy(id: string): Promise<void> {
    if (this.wasDestroyed(id)) return;
    const entry = this.find(id);
    this.owned.delete(id);
    this.ending++;
    try {
      await entry.destroy('destroyed by its owner');
    } finally {
      this.ending--;
    }
  }

  async pause(id: string): Promise<void> {
    await this.find(id).pause();
  }

  async unpause(id: string): Promise<void> {
    await this.find(id).resume();
  }

  /** The description of each sandbox. */
  debug(): Promise<string[]> {
    return Promise.all([...this.owned.values()].map((entry) => entry.debug()));
  }

  /** Whether a client waits for a sandbox to be made or destroyed. */
  get isBusy(): boolean {
    return this.making.size > 0 || this.ending > 0;
  }

  /**
   * Counts for metrics, in the terms of functions' instances. All sandboxes count as idle: only their owners know more.
   */
  get counts(): { busy: number; idle: number; paused: number; starting: number } {
    return { busy: 0, idle: this.owned.size, paused: 0, starting: 0 };
  }

  /** Destroys all sandboxes, leaves before their zygotes. Never rejects. */
  async close(): Promise<void> {
    this.closed = true;
    const all = [...this.owned.values()];
    this.owned.clear();
    await Promise.all(all.filter((entry) => entry.zygote === undefined).map((entry) => entry.destroy('stopping')));
    await Promise.all(all.flatMap(({ zygote }) => (zygote === undefined ? [] : [zygote.process.end()])));
    await this.copies.close();
  }

  private isClosed(): boolean {
    return this.closed;
  }

  /** Whether this id was destroyed, or its start failed. Ids are consecutive, so every smaller id was given. */
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
    const { factory } = this.deps;
    const link = join(this.deps.scratchDir, id);
    // The fork counts as a descendant from now on: the parent must not end before the fork is made.
    const lease = new Lease();
    if (parent !== undefined) lease.descendFrom(parent.process);
    let code: SockCode | undefined;
    const clean = (): void => {
      unnameSocket(link);
      code?.release();
    };
    try {
      code = await this.copies.take(request.code, request.runtime);
      const spec = this.spec(request, code, packages);
      let socketName = '';
      const hooks = {
        ownedBy: (slot: { socketName: string }) => {
          socketName = slot.socketName;
        },
      };
      const sandbox =
        parent === undefined || request.runtime === 'native'
          ? await factory.fresh(spec, hooks, lease)
          : await factory.fork(parent.process.slot, spec, hooks, lease);
      parent?.process.markUsed();
      try {
        nameSocket(link, socketName);
      } catch (error) {
        await sandbox.destroy('its socket could not be named');
        throw error;
      }
      return ownedLeaf(id, sandbox, link, clean);
    } catch (thrown) {
      void lease.free('it could not be made');
      clean();
      throw asArgyleError('SANDBOX_CREATE', thrown);
    }
  }

  private spec(request: SockRequest, code: SockCode, packages: PackageImport[]): LeafSpec {
    const { codeName, env, entryFile } = code;
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
    // A later fork from this zygote, or /pause, detects the death of the zygote.
    const process = await this.deps.maker.make(spec, parent?.process, () => undefined);
    const frozen = freezer(process.slot, id);
    return {
      zygote: { process, spec, isPaused: frozen.isPaused },
      pause: frozen.pause,
      resume: frozen.resume,
      // The forks of this zygote live on. The zygote ends with the last of them.
      destroy: async () => {
        await frozen.resume().catch(() => undefined);
        await process.drain();
      },
      debug: async () => {
        const usage = await process.slot.usage().catch(() => undefined);
        if (usage === undefined) return `SANDBOX ${id} is DEAD: its process ended\n`;
        const place = { ...process.slot.describe(id), hostDir: 'none: it is only forked' };
        return debugText(place, usage, process.slot.limits, [`ZYGOTE OF: ${spec.pins.join(' ')}`]);
      },
    };
  }
}
