/** Brings one package into Pkgs_dir: installed in a staging directory, checked, then moved to its place. */
import { ArgyleError } from '../errors';
import { MEGABYTE } from '../sandbox/slot';
import type { InstallResult } from '../sandbox/types';
import { failure, type InstallSteps, reasonOf } from './install-step';
import { sameTree } from './same-tree';
import type { PackageMeta, PackageStore } from './store';
import type { Pin } from './tools';

/** Most names taken from one answer: it comes out of a sandbox in which the package's own code may have run. */
const MAX_NAMES = 1000;

export interface MakerOptions {
  store: PackageStore;
  steps: InstallSteps;
  removeTree: (name: string) => Promise<void>;
  /** config.argyle.package_max_mb; 0 for no limit but what must stay free. */
  maxMb: number;
  /** Specs that live functions or zygotes hold. */
  inUse: () => Iterable<string>;
}

export class PackageMaker {
  constructor(private readonly options: MakerOptions) {}

  /** Takes over a directory without a marker, once its metadata are known; undefined when it is absent or half done. */
  async adopt(spec: string): Promise<PackageMeta | undefined> {
    const found = await this.options.store.survey(spec);
    if (found === undefined) return undefined;
    const stage = await this.options.store.stage();
    try {
      const result = await this.options.steps.describe(spec, stage, `/packages/${spec}/files`);
      if (!result.ok) return undefined;
      const meta = toMeta({ spec, hashes: [] }, found, result);
      await this.options.store.mark(spec, meta).catch(() => undefined); // root's own: asked again after the next start
      return meta;
    } finally {
      await this.discard(stage);
    }
  }

  /** @throws ArgyleError INSTALL_FAILED, and what the sandbox throws; nothing is left behind then */
  async install(pin: Pin): Promise<PackageMeta> {
    const { spec } = pin;
    // What has no marker is half an install, or none of ours.
    if ((await this.options.store.read(spec)) === undefined) await this.options.store.remove(spec);
    const stage = await this.options.store.stage();
    let published = false;
    try {
      const result = await this.options.steps.install(pin, stage);
      const found = result.ok ? await this.options.store.survey(stage) : undefined;
      if (found === undefined) throw failure(spec, whyFailed(result), result.output);
      const { maxMb } = this.options;
      if (maxMb > 0 && found.bytes > maxMb * MEGABYTE) throw failure(spec, `it takes more than ${maxMb} MB of disk`);
      const meta = toMeta(pin, found, result);
      const present = await this.confirm(pin, stage);
      if (present !== undefined) return present;
      await this.options.store.remove(spec);
      await this.options.store.publish(stage, meta);
      published = true;
      return meta;
    } catch (error) {
      throw error instanceof ArgyleError ? error : failure(spec, reasonOf(error), '', error);
    } finally {
      if (!published) await this.discard(stage);
    }
  }

  /**
   * Compares a fresh install whose hashes were checked with what lies in its place from an unknown archive.
   * @returns the present install, which now counts as checked; undefined when it is to be replaced
   * @throws ArgyleError INSTALL_FAILED when it differs and functions of this worker use it
   */
  private async confirm(pin: Pin, stage: string): Promise<PackageMeta | undefined> {
    const { spec, hashes } = pin;
    const present = await this.options.store.read(spec);
    if (present === undefined) return undefined;
    if (await sameTree(this.options.store.filesOf(spec), this.options.store.filesOf(stage))) {
      const common = present.hashes?.filter((hash) => hashes.includes(hash)) ?? [];
      const checked = { ...present, hashes: common.length > 0 ? common : [...hashes] };
      await this.options.store.remark(spec, checked);
      return checked;
    }
    if (!new Set(this.options.inUse()).has(spec)) return undefined;
    throw failure(spec, 'functions use it from another archive than the hashes allow; pin another version');
  }

  /** A staging directory that cannot be deleted now goes with the sweep at the next start. */
  async discard(stage: string): Promise<void> {
    await this.options.removeTree(stage).catch(() => undefined);
  }
}

/** Whether an installed package's archive has one of a pin's hashes, as far as is known. */
export function isVerified(meta: PackageMeta, { hashes }: Pin): boolean {
  const known = meta.hashes ?? [];
  return hashes.length === 0 || (known.length > 0 && known.every((hash) => hashes.includes(hash)));
}

function toMeta(pin: Pin, found: { name: string; version: string; bytes: number }, result: InstallResult): PackageMeta {
  const deps = result.deps.slice(0, MAX_NAMES);
  const topLevel = result.top_level.filter((name) => /^[\p{L}_][\p{L}\p{N}_]*$/u.test(name)).slice(0, MAX_NAMES);
  return { spec: pin.spec, ...found, deps, topLevel, ...(pin.hashes.length === 0 ? {} : { hashes: [...pin.hashes] }) };
}

function whyFailed({ ok, code }: InstallResult): string {
  return ok ? 'the installer left no package behind' : `the installer exited with ${code}`;
}
