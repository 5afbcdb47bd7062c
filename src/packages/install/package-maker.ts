/**
 * Adds one package to Pkgs_dir. A sandbox installs it into a staging directory. When no process of the sandbox is left,
 * the worker copies and publishes it. So the package belongs to a user that no sandbox runs as.
 */
import { createHash } from 'node:crypto';
import { rmdir } from 'node:fs/promises';
import { ArgyleError } from '../../errors';
import { MEGABYTE } from '../../sandbox/slot/limits';
import type { InstallResult } from '../../sandbox/types';
import { TreeRefused } from '../store/copy-tree';
import { type DiskWatch, FILES_PER_MB } from './disk-watch';
import { failure, type InstallSteps, reasonOf } from './install-step';
import { sameTree } from '../store/same-tree';
import type { PackageMeta, PackageStore } from '../store/store';
import { survey, type Survey } from '../store/survey';
import { type Pin, TARGET } from './tools';
import type { TreeCopier } from '../store/tree-copier';

/** Maximum number of names in one answer. The answer is untrusted: code of the package may have run in the sandbox. */
const MAX_NAMES = 1000;
/** Length of the digest in besideSpec(). A short digest is enough, since the hashes are compared, too. */
const DIGEST_CHARS = 16;
/** Users that no sandbox runs as. */
const TRUSTED = [0, process.getuid?.() ?? 0];

export interface MakerOptions {
  store: PackageStore;
  steps: InstallSteps;
  disk: DiskWatch;
  copier: TreeCopier;
  removeTree: (name: string) => Promise<void>;
  /** config.argyle.package_max_mb; 0 for only the reserve. */
  maxMb: number;
}

export class PackageMaker {
  constructor(private readonly options: MakerOptions) {}

  /**
   * Adopts a directory of the original or of another installer, if no sandbox ever owned any of its files. The files
   * are copied. Returns undefined when the directory is absent or incomplete, or when a sandbox owned some of its
   * files: functions may have changed these. This includes the packages of earlier versions of this worker.
   */
  async adopt(spec: string): Promise<PackageMeta | undefined> {
    const { store, steps } = this.options;
    const old = await store.foreign(spec);
    if (old === undefined) return undefined;
    if ((await survey(old)) === undefined) {
      await store.remove(spec);
      return undefined;
    }
    const stage = await store.stage();
    try {
      await rmdir(store.madeIn(stage));
      await this.copy(old, store.madeIn(stage), TRUSTED);
      const result = await steps.describe(spec, stage, TARGET);
      const found = result.ok ? await this.finish(stage) : undefined;
      if (found === undefined) return undefined;
      const meta = toMeta({ spec, hashes: [] }, found, result, spec);
      await store.publish(stage, meta);
      return meta;
    } catch (error) {
      if (error instanceof TreeRefused) return undefined;
      throw error;
    } finally {
      await this.discard(stage);
    }
  }

  /** @throws ArgyleError INSTALL_FAILED; errors of the sandbox. A failure leaves nothing behind. */
  async install(pin: Pin): Promise<PackageMeta> {
    const { spec } = pin;
    const { steps, store } = this.options;
    const stage = await store.stage();
    try {
      const result = await steps.install(pin, stage);
      const found = result.ok ? await this.finish(stage) : undefined;
      if (found === undefined) throw failure(spec, whyFailed(result), result.output);
      const present = await store.read(spec);
      // A package that was installed without hashes may have the same files as this one, whose hashes were checked.
      if (present !== undefined && (await sameTree(store.filesOf(spec), store.finishedIn(stage)))) {
        const checked = withHashes(present, pin);
        await store.rewriteMarker(spec, checked);
        return checked;
      }
      const meta = toMeta(pin, found, result, present === undefined ? spec : besideSpec(pin));
      await store.publish(stage, meta);
      return meta;
    } catch (error) {
      throw error instanceof ArgyleError ? error : failure(spec, reasonOf(error), '', error);
    } finally {
      await this.discard(stage);
    }
  }

  /** Copies the installer's files, so that they belong to the worker. Returns undefined when they are not a package. */
  private async finish(stage: string): Promise<Survey | undefined> {
    const { store } = this.options;
    await this.copy(store.madeIn(stage), await store.finishing(stage));
    return survey(store.finishedIn(stage));
  }

  /** Copies under the disk limit of an install. */
  private async copy(from: string, to: string, owners?: readonly number[]): Promise<void> {
    const { disk, maxMb, copier } = this.options;
    await disk.during((signal, { freeBytes }) => {
      const maxBytes = maxMb > 0 ? maxMb * MEGABYTE : freeBytes;
      const maxEntries = Math.ceil((maxBytes / MEGABYTE) * FILES_PER_MB);
      return copier.copy({ from, to, maxBytes, maxEntries, ...(owners === undefined ? {} : { owners }) }, signal);
    });
  }

  /** Deletes a staging directory. After a failure, the sweep at the next start deletes it. */
  async discard(stage: string): Promise<void> {
    await this.options.removeTree(stage).catch(() => undefined);
  }
}

/** Whether an installed package's archive is known to match one of a pin's hashes. */
export function isVerified(meta: PackageMeta, { hashes }: Pin): boolean {
  const known = meta.hashes ?? [];
  return hashes.length === 0 || (known.length > 0 && known.every((hash) => hashes.includes(hash)));
}

/**
 * The spec for a pin whose version is already installed from another archive. It is valid by PEP 440 and has a local
 * version of its own. So a zygote that imported one archive never serves a function with the other.
 */
export function besideSpec({ spec, hashes }: Pin): string {
  const digest = createHash('sha256')
    .update([...hashes].sort().join(' '))
    .digest('hex');
  return `${spec}${spec.includes('+') ? '.' : '+'}hashes.${digest.slice(0, DIGEST_CHARS)}`;
}

function withHashes(present: PackageMeta, { hashes }: Pin): PackageMeta {
  const common = present.hashes?.filter((hash) => hashes.includes(hash)) ?? [];
  return { ...present, hashes: common.length > 0 ? common : [...hashes] };
}

function toMeta({ hashes }: Pin, found: Survey, result: InstallResult, spec: string): PackageMeta {
  const deps = result.deps.slice(0, MAX_NAMES);
  const topLevel = result.top_level.filter((name) => /^[\p{L}_][\p{L}\p{N}_]*$/u.test(name)).slice(0, MAX_NAMES);
  return { spec, ...found, deps, topLevel, ...(hashes.length === 0 ? {} : { hashes: [...hashes] }) };
}

function whyFailed({ ok, code }: InstallResult): string {
  return ok ? 'the installer left no package behind' : `the installer exited with ${code}`;
}
