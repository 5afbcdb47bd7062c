/** Installs packages for functions. Each pin is installed once, in a fresh sandbox, and shared by all functions. */
import { ArgyleError, asArgyleError } from '../../errors';
import { MEGABYTE } from '../../sandbox/slot/limits';
import type { PackageImport } from '../../sandbox/types';
import { choosePin, parseDependency } from '../requirements/closure';
import { DiskWatch } from './disk-watch';
import { MIN_IDLE_MS, selectEvictions } from '../store/eviction';
import { FailureMemory } from './failures';
import { InstallSteps } from './install-step';
import type { EnsureOptions, PackageInstallerOptions } from './installer-options';
import { Limiter } from './limiter';
import { besideSpec, isVerified, PackageMaker } from './package-maker';
import { indexHosts, readNetrc } from './netrc';
import { readPipEnv } from './pip-config';
import { normalizeLine } from '../../config/package-names';
import { parseRequirements, parseSpec } from '../requirements/requirements';
import { type PackageMeta, PackageStore } from '../store/store';
import { INDEX_TIMEOUT_SEC, type IndexSource, type Pin } from './tools';
import { TreeCopier } from '../store/tree-copier';

export type { EnsureOptions, InstallProgress, PackageInstallerOptions, Pull } from './installer-options';

export class PackageInstaller {
  private readonly store: PackageStore;
  private readonly known = new Map<string, PackageMeta>();
  /** Running attempts by spec; at most one per spec. Callers with the same hashes share the attempt's result. */
  private readonly pulls = new Map<string, { key: string; done: Promise<PackageMeta> }>();
  /** Running deletions. A caller that needs such a package waits and installs it again. */
  private readonly removals = new Map<string, Promise<void>>();
  private readonly lastAskedMs = new Map<string, number>();
  private readonly failures: FailureMemory;
  private readonly limiter: Limiter;
  /** Number of requested package lists so far. Each list gets its own name for its turns. */
  private askers = 0;
  private readonly maker: PackageMaker;
  private index: Promise<IndexSource> | undefined;
  /** Runs uv and pip. The resolver uses it, too. */
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
      disk,
      copier: new TreeCopier(),
      removeTree: (name) => options.sandbox.removeTree(name),
      maxMb: options.packageMaxMb ?? 0,
    });
  }

  /** Creates Pkgs_dir and removes leftovers of interrupted installs. Call it once, before the first ensure(). */
  async start(): Promise<void> {
    this.store.open();
    await this.store.sweep();
  }

  /**
   * Installs all missing specs, several at once. Returns what each spec provides, in the given order.
   * @throws ArgyleError REQUIREMENT_INVALID for a spec that is not allowed; INSTALL_FAILED with the end of the tool's
   * output, also during the back-off; errors of a sandbox that gives no answer. A failure leaves no partial package;
   * the other packages stay.
   */
  async ensure(specs: readonly string[], options: EnsureOptions = {}): Promise<PackageImport[]> {
    return this.ensurePins(
      [...new Set(specs.map(normalizeLine))].map((spec) => ({ spec, hashes: [] })),
      options,
    );
  }

  /** Like ensure(), for pins that may have hashes. */
  async ensurePins(pins: readonly Pin[], { retry = false, onReady }: EnsureOptions = {}): Promise<PackageImport[]> {
    for (const { spec } of pins) parseSpec(spec, 'package');
    if (retry) this.failures.forgive(pins.map(keyOf));
    // Waits for all, so that no install continues after the return.
    const asker = this.nextAsker();
    const settled = await Promise.allSettled(
      pins.map(async (pin) => {
        const startMs = performance.now();
        const meta = await this.get(pin, asker);
        onReady?.({ spec: pin.spec, ms: performance.now() - startMs, bytes: meta.bytes });
        return meta;
      }),
    );
    const failed = settled.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    return settled.flatMap((result) => (result.status === 'fulfilled' ? [toImport(result.value)] : []));
  }

  /** The dependencies of a package according to its metadata; undefined before ensurePins(). */
  dependenciesOf(pin: Pin): readonly string[] | undefined {
    return placesOf(pin)
      .map((place) => this.known.get(place))
      .find((meta) => meta !== undefined && isVerified(meta, pin))?.deps;
  }

  /** The name of an installed package's directory in the store; undefined before ensurePins(). */
  placeOf(spec: string): string | undefined {
    return this.store.placeOf(spec);
  }

  /** Returns an installed package; undefined when the package is not installed. Installs nothing. */
  async peek(spec: string): Promise<PackageImport | undefined> {
    const place = normalizeLine(spec);
    parseSpec(place, 'package');
    const meta = this.known.get(place) ?? (await this.store.read(place));
    if (meta === undefined) return undefined;
    this.known.set(place, meta);
    return toImport(meta);
  }

  /** Like ensure(), for the text of a requirements.txt. Errors name its lines. */
  async ensureInstalled(requirementsText: string): Promise<PackageImport[]> {
    return this.ensure(parseRequirements(requirementsText).map(({ spec }) => spec));
  }

  /** The version in a spec's directory; undefined before ensure() or without a version. */
  installedVersion(spec: string): string | undefined {
    return this.known.get(normalizeLine(spec))?.version || undefined;
  }

  /**
   * The packages that a zygote must import for `specs`: each spec after its dependencies. A dependency that is in
   * `specs` or `pins` is taken from there.
   *
   * POLICY: with `pins`, an unpinned dependency is left out, since a zygote that has imported it could serve no
   * function with these pins. Without `pins`, it is installed as the metadata names it, as in the original.
   * @throws as ensure()
   */
  async resolveForZygote(specs: readonly string[], pins?: readonly string[]): Promise<PackageImport[]> {
    const candidates = [...specs, ...(pins ?? [])].map(normalizeLine);
    const closed = new Map<string, PackageImport | undefined>();
    const visit = async (spec: string): Promise<void> => {
      if (closed.has(spec)) return;
      closed.set(spec, undefined); // guards against dependency cycles
      const meta = await this.get({ spec, hashes: [] });
      for (const line of meta.deps) {
        const dependency = parseDependency(line);
        if (dependency === undefined) continue;
        const chosen = choosePin(dependency, candidates) ?? (pins === undefined ? dependency.spec : undefined);
        if (chosen !== undefined) await visit(chosen);
      }
      closed.delete(spec); // re-inserted after its dependencies
      closed.set(spec, toImport(meta));
    };
    for (const spec of specs) await visit(normalizeLine(spec));
    return [...closed.values()].filter((found) => found !== undefined);
  }

  /** Deletes the least recently used packages above maxMb. Returns the deleted specs. */
  async trim(): Promise<string[]> {
    const maxBytes = (this.options.maxMb ?? 0) * MEGABYTE;
    if (maxBytes <= 0) return [];
    const inUse = new Set([...(this.options.inUse?.() ?? []), ...this.pulls.keys()]);
    const evicted = selectEvictions(await this.store.list(), maxBytes, inUse, Date.now());
    const gone: string[] = [];
    for (const spec of evicted) {
      const idleMs = Date.now() - (this.lastAskedMs.get(spec) ?? 0);
      if (idleMs < MIN_IDLE_MS || this.pulls.has(spec)) continue; // the spec was requested in the meantime
      this.known.delete(spec);
      const removal = this.store.remove(spec).finally(() => this.removals.delete(spec));
      this.removals.set(spec, removal);
      await removal;
      gone.push(spec);
    }
    return gone;
  }

  /** Makes an empty directory for one run, e.g. a resolution, and removes it afterwards. */
  async withStage<T>(use: (stage: string) => Promise<T>): Promise<T> {
    return this.limiter.run(async () => {
      const stage = await this.store.stage();
      try {
        return await use(stage);
      } finally {
        await this.maker.discard(stage);
      }
    }, this.nextAsker());
  }

  /** The source of packages. */
  source(): Promise<IndexSource> {
    this.index ??= this.readSource();
    return this.index;
  }

  private async readSource(): Promise<IndexSource> {
    const { pipMirror: mirror = '', indexTimeoutSec: timeoutSec = INDEX_TIMEOUT_SEC } = this.options;
    const env = await (this.options.pipEnv ?? readPipEnv)();
    const netrc = await (this.options.netrc ?? readNetrc)(indexHosts(mirror, env));
    return { mirror, timeoutSec, env, netrc };
  }

  /** POLICY: lists of packages take turns, so that a long list does not delay a short one. */
  private nextAsker(): string {
    return String(++this.askers);
  }

  private async get(pin: Pin, asker = ''): Promise<PackageMeta> {
    const { spec } = pin;
    parseSpec(spec, 'package');
    for (const place of placesOf(pin)) {
      this.lastAskedMs.set(place, Date.now());
      await this.removals.get(place)?.catch(() => undefined);
      const known = this.known.get(place);
      if (known === undefined || !isVerified(known, pin) || !(await this.store.has(place))) continue;
      await this.store.touch(place);
      return known;
    }
    const key = keyOf(pin);
    for (let other = this.pulls.get(spec); other !== undefined; other = this.pulls.get(spec)) {
      if (other.key === key) return other.done;
      // The other attempt may fail for its own reason, such as a wrong hash.
      const meta = await other.done.catch(() => undefined);
      if (meta !== undefined && isVerified(meta, pin)) return meta;
    }
    const done = this.pull(pin, asker).finally(() => this.pulls.delete(spec));
    this.pulls.set(spec, { key, done });
    return done;
  }

  private async pull(pin: Pin, asker: string): Promise<PackageMeta> {
    const { spec } = pin;
    const startMs = performance.now();
    let meta: PackageMeta | undefined;
    try {
      this.failures.check(keyOf(pin));
      meta = await this.found(pin, asker);
      if (meta === undefined) {
        meta = await this.limiter.run(() => this.maker.install(pin), asker);
        void this.trim().catch(() => undefined); // after a failure, the next install tries again
      }
      this.known.set(meta.spec, meta);
      this.failures.succeeded(keyOf(pin));
      await this.store.touch(meta.spec);
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

  /** The installed package, if its archive is known to match one of the pin's hashes. */
  private async found(pin: Pin, asker: string): Promise<PackageMeta | undefined> {
    const { spec } = pin;
    const read = async (place: string) => {
      const meta = await this.store.read(place);
      // Packages of the original have no marker.
      return meta ?? (place === spec ? this.limiter.run(() => this.maker.adopt(spec), asker) : undefined);
    };
    for (const place of placesOf(pin)) {
      const meta = await read(place);
      if (meta !== undefined && isVerified(meta, pin)) return meta;
    }
    return undefined;
  }
}

/** The specs that a pin's package may be installed as. */
function placesOf(pin: Pin): string[] {
  return pin.hashes.length === 0 ? [pin.spec] : [pin.spec, besideSpec(pin)];
}

/**
 * Key of an attempt. It includes the hashes, so that one function's wrong hash does not block another function's pin.
 */
function keyOf({ spec, hashes }: Pin): string {
  return [spec, ...hashes].join(' ');
}

function toImport(meta: PackageMeta): PackageImport {
  return { spec: meta.spec, modules: meta.topLevel };
}
