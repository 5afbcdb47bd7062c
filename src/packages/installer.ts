/** Installs the packages that functions ask for: each pin once, in a fresh sandbox, shared by all functions. */
import { ArgyleError, asArgyleError } from '../errors';
import { MEGABYTE } from '../sandbox/slot';
import type { InstallerSandbox, PackageImport } from '../sandbox/types';
import { choosePin, parseDependency } from './closure';
import { DiskWatch } from './disk-watch';
import { MIN_IDLE_MS, selectEvictions } from './eviction';
import { FailureMemory } from './failures';
import { InstallSteps } from './install-step';
import { Limiter } from './limiter';
import { isVerified, PackageMaker } from './package-maker';
import { readPipEnv } from './pip-config';
import { normalizeLine, parseRequirements, parseSpec } from './requirements';
import { type PackageMeta, PackageStore } from './store';
import { INDEX_TIMEOUT_SEC, type IndexSource, type Pin, type Tool } from './tools';

/** One attempt to make a package known; each spec succeeds once per worker process. */
export interface Pull {
  spec: string;
  ms: number;
  /** Undefined when it failed. */
  meta: PackageMeta | undefined;
}

/** How far an install of several packages has come. */
export interface InstallProgress {
  spec: string;
  ms: number;
  bytes: number;
}

export interface EnsureOptions {
  /** Tries again what failed a moment ago. */
  retry?: boolean;
  /** Told of each package once it is there. */
  onReady?: (progress: InstallProgress) => void;
}

export interface PackageInstallerOptions {
  /** config.Pkgs_dir: an absolute path, made if missing. */
  pkgsDir: string;
  sandbox: InstallerSandbox;
  /** config.pip_mirror: URL of an index used instead of the host's configuration; '' for none. */
  pipMirror?: string;
  /** Environment for pip, asked for once; the default reads the host's pip configuration. */
  pipEnv?: () => Promise<Record<string, string>>;
  /** config.argyle.index_timeout_sec. */
  indexTimeoutSec?: number;
  /** config.argyle.installer: the tool that is tried first. */
  tool?: Tool;
  /** Most installer sandboxes at once. */
  atOnce?: number;
  /** config.argyle.packages_max_mb: packages are deleted beyond this disk use; 0 for never. */
  maxMb?: number;
  /** config.argyle.package_max_mb: disk that one install may use; 0 for no limit but what must stay free. */
  packageMaxMb?: number;
  /** Specs that live functions or zygotes hold; they are never deleted. */
  inUse?: () => Iterable<string>;
  /** Called after each attempt, for the statistic `pull-package` and the dependency trace. */
  onPull?: (pull: Pull) => void;
  /** Milliseconds of a clock that never goes back, for the back-off after a failure. */
  now?: () => number;
}

export class PackageInstaller {
  private readonly store: PackageStore;
  private readonly known = new Map<string, PackageMeta>();
  /** Attempts under way: the mutex of each spec, whose result all that wait share. */
  private readonly pulls = new Map<string, Promise<PackageMeta>>();
  /** Deletions under way; whoever asks for such a package waits and installs it anew. */
  private readonly removals = new Map<string, Promise<void>>();
  private readonly lastAskedMs = new Map<string, number>();
  private readonly failures: FailureMemory;
  private readonly limiter: Limiter;
  private readonly maker: PackageMaker;
  private env: Promise<Record<string, string>> | undefined;
  /** Runs uv and pip; the resolver shares it. */
  readonly steps: InstallSteps;

  constructor(private readonly options: PackageInstallerOptions) {
    this.store = new PackageStore(options.pkgsDir, (name) => options.sandbox.removeTree(name));
    const disk = new DiskWatch(options.pkgsDir, options.packageMaxMb ?? 0);
    this.failures = new FailureMemory(options.now);
    this.limiter = new Limiter(options.atOnce ?? 1);
    this.steps = new InstallSteps({
      sandbox: options.sandbox,
      disk,
      source: () => this.source(),
      tool: options.tool ?? 'uv',
    });
    this.maker = new PackageMaker({
      store: this.store,
      steps: this.steps,
      removeTree: (name) => options.sandbox.removeTree(name),
      maxMb: options.packageMaxMb ?? 0,
      inUse: () => options.inUse?.() ?? [],
    });
  }

  /** Makes Pkgs_dir and clears what interrupted installs left there; to be called once before the first ensure(). */
  async start(): Promise<void> {
    await this.store.open();
    await this.store.sweep();
  }

  /**
   * Makes sure that all specs are installed, some at once, and says what each provides, in the order given.
   * @throws ArgyleError REQUIREMENT_INVALID for a spec that is not allowed; INSTALL_FAILED with the end of the tool's
   *   output, also while the back-off after an earlier failure runs; whatever the sandbox throws when it gives no
   *   answer. Nothing half done is left behind; the other packages stay.
   */
  async ensure(specs: readonly string[], options: EnsureOptions = {}): Promise<PackageImport[]> {
    return this.ensurePins(
      [...new Set(specs.map(normalizeLine))].map((spec) => ({ spec, hashes: [] })),
      options,
    );
  }

  /** ensure() for pins that may carry hashes. */
  async ensurePins(pins: readonly Pin[], { retry = false, onReady }: EnsureOptions = {}): Promise<PackageImport[]> {
    for (const { spec } of pins) parseSpec(spec, 'package');
    if (retry) this.failures.forgive(pins.map(keyOf));
    // All are waited for, so that no install goes on behind the caller's back.
    const settled = await Promise.allSettled(
      pins.map(async (pin) => {
        const startMs = performance.now();
        const meta = await this.get(pin);
        onReady?.({ spec: pin.spec, ms: performance.now() - startMs, bytes: meta.bytes });
        return meta;
      }),
    );
    const failed = settled.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return settled.flatMap((result) => (result.status === 'fulfilled' ? [toImport(result.value)] : []));
  }

  /** Names in PEP 503's form that a package needs here, as its metadata say; undefined before ensure() was there. */
  dependenciesOf(spec: string): readonly string[] | undefined {
    return this.known.get(spec)?.deps;
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
      const meta = await this.get({ spec, hashes: [] });
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

  /** An empty directory for one run, removed afterwards: a resolution needs one. */
  async withStage<T>(use: (stage: string) => Promise<T>): Promise<T> {
    return this.limiter.run(async () => {
      const stage = await this.store.stage();
      try {
        return await use(stage);
      } finally {
        await this.maker.discard(stage);
      }
    });
  }

  /** Where packages come from. */
  async source(): Promise<IndexSource> {
    this.env ??= (this.options.pipEnv ?? readPipEnv)();
    const { pipMirror: mirror = '', indexTimeoutSec: timeoutSec = INDEX_TIMEOUT_SEC } = this.options;
    return { mirror, timeoutSec, env: await this.env };
  }

  private async get(pin: Pin): Promise<PackageMeta> {
    const { spec } = pin;
    parseSpec(spec, 'package');
    this.lastAskedMs.set(spec, Date.now());
    await this.removals.get(spec)?.catch(() => undefined);
    const known = this.known.get(spec);
    if (known !== undefined && isVerified(known, pin) && (await this.store.has(spec))) {
      await this.store.touch(spec);
      return known;
    }
    const before = this.pulls.get(spec);
    if (before !== undefined) {
      const meta = await before;
      if (isVerified(meta, pin)) return meta;
    }
    let pull = this.pulls.get(spec);
    if (pull === undefined) {
      pull = this.pull(pin).finally(() => this.pulls.delete(spec));
      this.pulls.set(spec, pull);
    }
    return pull;
  }

  private async pull(pin: Pin): Promise<PackageMeta> {
    const { spec } = pin;
    const startMs = performance.now();
    let meta: PackageMeta | undefined;
    try {
      this.failures.check(keyOf(pin));
      meta = await this.found(pin);
      if (meta === undefined) {
        meta = await this.limiter.run(() => this.maker.install(pin));
        void this.trim().catch(() => undefined); // what cannot be deleted now is tried again after the next install
      }
      this.known.set(spec, meta);
      this.failures.succeeded(keyOf(pin));
      await this.store.touch(spec);
      return meta;
    } catch (thrown) {
      const error = asArgyleError('INSTALL_FAILED', thrown);
      if (error.code === 'INSTALL_FAILED' && !(error.cause instanceof ArgyleError))
        this.failures.failed(keyOf(pin), error);
      throw error;
    } finally {
      this.options.onPull?.({ spec, ms: performance.now() - startMs, meta });
    }
  }

  /** What is on the disk already, if its archive is known to have one of the pin's hashes. */
  private async found(pin: Pin): Promise<PackageMeta | undefined> {
    const meta = (await this.store.read(pin.spec)) ?? (await this.limiter.run(() => this.maker.adopt(pin.spec)));
    return meta !== undefined && isVerified(meta, pin) ? meta : undefined;
  }
}

/** One function's wrong hash must not keep another's pin of the same package from being installed. */
function keyOf({ spec, hashes }: Pin): string {
  return [spec, ...hashes].join(' ');
}

function toImport(meta: PackageMeta): PackageImport {
  return { spec: meta.spec, modules: meta.topLevel };
}
