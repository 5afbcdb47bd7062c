/** Installs the packages that functions ask for: each spec once, in a fresh sandbox, shared by all functions. */
import { ArgyleError } from '../errors';
import { MEGABYTE } from '../sandbox/slot';
import type { InstallerBoot, InstallerSandbox, InstallResult, PackageImport } from '../sandbox/types';
import { choosePin, parseDependency } from './closure';
import { DiskWatch } from './disk-watch';
import { MIN_IDLE_MS, selectEvictions } from './eviction';
import { readPipEnv } from './pip-config';
import { normalizeLine, parseRequirements, parseSpec } from './requirements';
import { type PackageMeta, PackageStore } from './store';

/** Characters of pip's output that an error carries. */
const OUTPUT_TAIL = 2000;
/** Most names taken from one answer: it comes out of a sandbox in which the package's own code may have run. */
const MAX_NAMES = 1000;

/** One attempt to make a package known; each spec succeeds once per worker process. */
export interface Pull {
  spec: string;
  ms: number;
  /** Undefined when it failed. */
  meta: PackageMeta | undefined;
}

export interface PackageInstallerOptions {
  /** config.Pkgs_dir: an absolute path, made if missing. */
  pkgsDir: string;
  sandbox: InstallerSandbox;
  /** config.pip_mirror: URL of an index used instead of the host's configuration; '' for none. */
  pipMirror?: string;
  /** Environment for pip, asked for once; the default reads the host's pip configuration. */
  pipEnv?: () => Promise<Record<string, string>>;
  /** config.argyle.packages_max_mb: packages are deleted beyond this disk use; 0 for never. */
  maxMb?: number;
  /** config.argyle.package_max_mb: disk that one install may use; 0 for no limit but what must stay free. */
  packageMaxMb?: number;
  /** Specs that live functions or zygotes hold; they are never deleted. */
  inUse?: () => Iterable<string>;
  /** Called after each attempt, for the statistic `pull-package` and the dependency trace. */
  onPull?: (pull: Pull) => void;
}

export class PackageInstaller {
  private readonly store: PackageStore;
  private readonly disk: DiskWatch;
  private readonly known = new Map<string, PackageMeta>();
  /** Attempts under way: the mutex of each spec, whose result all that wait share. */
  private readonly pulls = new Map<string, Promise<PackageMeta>>();
  /** Deletions under way; whoever asks for such a package waits and installs it anew. */
  private readonly removals = new Map<string, Promise<void>>();
  private readonly lastAskedMs = new Map<string, number>();
  private env: Promise<Record<string, string>> | undefined;

  constructor(private readonly options: PackageInstallerOptions) {
    this.store = new PackageStore(options.pkgsDir, (name) => options.sandbox.removeTree(name));
    this.disk = new DiskWatch(options.pkgsDir, options.packageMaxMb ?? 0);
  }

  /** Makes Pkgs_dir and clears what interrupted installs left there; to be called once before the first ensure(). */
  async start(): Promise<void> {
    await this.store.open();
    await this.store.sweep();
  }

  /**
   * Makes sure that all specs are installed, one after the other, and says what each provides, in the order given.
   * @throws ArgyleError REQUIREMENT_INVALID for a spec that is not allowed; INSTALL_FAILED with the end of pip's
   *   output; whatever the sandbox throws when it gives no answer. Nothing is left behind, and the next call retries.
   */
  async ensure(specs: readonly string[]): Promise<PackageImport[]> {
    const imports: PackageImport[] = [];
    for (const spec of new Set(specs.map(normalizeLine))) imports.push(toImport(await this.get(spec)));
    return imports;
  }

  /** ensure() for the text of a requirements.txt; errors name its lines. */
  async ensureInstalled(requirementsText: string): Promise<PackageImport[]> {
    return this.ensure(parseRequirements(requirementsText).map(({ spec }) => spec));
  }

  /** The version that lies in a spec's directory; undefined when ensure() has not been there, or it has none. */
  installedVersion(spec: string): string | undefined {
    return this.known.get(normalizeLine(spec))?.version || undefined;
  }

  /**
   * The packages that a zygote has to import for `specs`: them and, before them, what their metadata depends on. A
   * dependency is taken from `specs` or `pins` when they have that package.
   * POLICY: with `pins`, a dependency that nobody pins is left out, since no function with these pins may be served by
   * a zygote that has imported it. Without, it is installed as the metadata name it, as the original does.
   * @throws as ensure()
   */
  async resolveForZygote(specs: readonly string[], pins?: readonly string[]): Promise<PackageImport[]> {
    const candidates = [...specs, ...(pins ?? [])].map(normalizeLine);
    const closed = new Map<string, PackageImport | undefined>();
    const visit = async (spec: string): Promise<void> => {
      if (closed.has(spec)) return;
      closed.set(spec, undefined); // packages may depend on each other in a circle
      const meta = await this.get(spec);
      for (const line of meta.deps) {
        const dependency = parseDependency(line);
        if (dependency === undefined) continue;
        const chosen = choosePin(dependency, candidates) ?? (pins === undefined ? dependency.spec : undefined);
        if (chosen !== undefined) await visit(chosen);
      }
      closed.delete(spec); // to be placed anew, behind what it needs
      closed.set(spec, toImport(meta));
    };
    for (const spec of specs) await visit(normalizeLine(spec));
    return [...closed.values()].filter((found) => found !== undefined);
  }

  /** Deletes the least recently used packages beyond maxMb; returns the specs that went. */
  async trim(): Promise<string[]> {
    const maxBytes = (this.options.maxMb ?? 0) * MEGABYTE;
    if (maxBytes <= 0) return [];
    const inUse = new Set([...(this.options.inUse?.() ?? []), ...this.pulls.keys()]);
    const evicted = selectEvictions(await this.store.list(), maxBytes, inUse, Date.now());
    const gone: string[] = [];
    for (const spec of evicted) {
      const idleMs = Date.now() - (this.lastAskedMs.get(spec) ?? 0);
      if (idleMs < MIN_IDLE_MS || this.pulls.has(spec)) continue; // asked for since the choice was made
      this.known.delete(spec);
      const removal = this.store.remove(spec).finally(() => this.removals.delete(spec));
      this.removals.set(spec, removal);
      await removal;
      gone.push(spec);
    }
    return gone;
  }

  private async get(spec: string): Promise<PackageMeta> {
    parseSpec(spec, 'package');
    this.lastAskedMs.set(spec, Date.now());
    await this.removals.get(spec)?.catch(() => undefined);
    const known = this.known.get(spec);
    if (known !== undefined && (await this.store.has(spec))) {
      await this.store.touch(spec);
      return known;
    }
    let pull = this.pulls.get(spec);
    if (pull === undefined) {
      pull = this.pull(spec).finally(() => this.pulls.delete(spec));
      this.pulls.set(spec, pull);
    }
    return pull;
  }

  private async pull(spec: string): Promise<PackageMeta> {
    const startMs = performance.now();
    let meta: PackageMeta | undefined;
    try {
      meta = (await this.store.read(spec)) ?? (await this.adopt(spec)) ?? (await this.install(spec));
      this.known.set(spec, meta);
      await this.store.touch(spec);
      return meta;
    } finally {
      this.options.onPull?.({ spec, ms: performance.now() - startMs, meta });
    }
  }

  /** Takes over a directory without a marker, once its metadata are known; undefined when it is absent or half done. */
  private async adopt(spec: string): Promise<PackageMeta | undefined> {
    const found = await this.store.survey(spec);
    if (found === undefined) return undefined;
    const stage = await this.store.stage();
    try {
      const result = await this.run(spec, stage, [], `/packages/${spec}/files`);
      if (!result.ok) return undefined;
      const meta = toMeta(spec, found, result);
      await this.store.mark(spec, meta).catch(() => undefined); // root's own: asked again after the next start
      return meta;
    } finally {
      await this.discard(stage);
    }
  }

  private async install(spec: string): Promise<PackageMeta> {
    await this.store.remove(spec);
    const stage = await this.store.stage();
    let published = false;
    try {
      const target = '/host/files';
      // The original caches downloads in /tmp, where nothing finds them again: ours is memory, and small.
      const argv = ['install', '--no-deps', spec, '--no-cache-dir', '-t', target, ...this.indexArgv()];
      const result = await this.run(spec, stage, argv, target);
      const found = result.ok ? await this.store.survey(stage) : undefined;
      if (found === undefined) throw failure(spec, pipReason(result), result.output);
      const { packageMaxMb: maxMb = 0 } = this.options;
      if (maxMb > 0 && found.bytes > maxMb * MEGABYTE) throw failure(spec, `it takes more than ${maxMb} MB of disk`);
      const meta = toMeta(spec, found, result);
      await this.store.publish(stage, meta);
      published = true;
      void this.trim().catch(() => undefined); // what cannot be deleted now is tried again after the next install
      return meta;
    } catch (error) {
      throw error instanceof ArgyleError ? error : failure(spec, reasonOf(error));
    } finally {
      if (!published) await this.discard(stage);
    }
  }

  private async run(spec: string, stage: string, argv: string[], target: string): Promise<InstallResult> {
    this.env ??= (this.options.pipEnv ?? readPipEnv)();
    const fixed = { PIP_DISABLE_PIP_VERSION_CHECK: '1', PIP_NO_INPUT: '1', PIP_ROOT_USER_ACTION: 'ignore' };
    // pip unpacks in TMPDIR and moves the result: on the target's own disk that costs no memory and no copy.
    const env = { ...(await this.env), ...fixed, TMPDIR: '/host/files' };
    const boot: InstallerBoot = { role: 'installer', spec, argv, env, target };
    try {
      return await this.disk.during((signal) => this.options.sandbox.run(boot, stage, { signal }));
    } catch (error) {
      throw error instanceof ArgyleError ? error : failure(spec, reasonOf(error));
    }
  }

  private indexArgv(): string[] {
    const mirror = this.options.pipMirror ?? '';
    if (mirror === '') return [];
    const trusted =
      mirror.startsWith('http://') && URL.canParse(mirror) ? ['--trusted-host', new URL(mirror).host] : [];
    return ['--index-url', mirror, ...trusted];
  }

  /** A staging directory that cannot be deleted now goes with the sweep at the next start. */
  private async discard(stage: string): Promise<void> {
    await this.options.sandbox.removeTree(stage).catch(() => undefined);
  }
}

function toImport(meta: PackageMeta): PackageImport {
  return { spec: meta.spec, modules: meta.topLevel };
}

function toMeta(spec: string, found: { name: string; version: string; bytes: number }, result: InstallResult) {
  const deps = result.deps.slice(0, MAX_NAMES);
  const topLevel = result.top_level.filter((name) => /^[\p{L}_][\p{L}\p{N}_]*$/u.test(name)).slice(0, MAX_NAMES);
  return { spec, ...found, deps, topLevel };
}

function failure(spec: string, why: string, output = ''): ArgyleError {
  // Credentials of an index stand in URLs.
  const shown = output.replace(/\/\/[^\s/@]*@/g, '//****@').trim();
  const tail = shown.length > OUTPUT_TAIL ? `…${shown.slice(-OUTPUT_TAIL)}` : shown;
  const options = { field: 'requirements.txt', value: spec };
  return new ArgyleError('INSTALL_FAILED', `could not install ${spec}: ${why}\n${tail}`.trimEnd(), options);
}

function pipReason({ ok, code }: InstallResult): string {
  return ok ? 'pip left no package behind' : `pip exited with ${code}`;
}

/** Errors of the file system are told without the paths of this machine. */
function reasonOf(error: unknown): string {
  const { syscall, code, message } = error as NodeJS.ErrnoException;
  return syscall === undefined ? message : `${syscall} failed with ${code}`;
}
