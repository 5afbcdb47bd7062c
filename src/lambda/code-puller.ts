/** Keeps one function's code up to date with the registry: checks, downloads, unpacks, installs its packages. */
import { ArgyleError, asArgyleError, isDiskFull, type ErrorCode } from '../errors';
import type { Stats } from '../metrics';
import type { CodeDirs } from './code-dirs';
import { CodeVersion } from './code-version';
import type { DepTrace } from './dep-trace';
import type { Intake } from './intake/intake';
import type { Examined } from './intake/steps';
import type { FunctionPackages, LambdaLog, OpenObject, RegistryStore } from './ports';

/** Faults of an archive itself: it stays refused until it changes. */
const FAULTS: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['LAMBDA_CODE', 'LAMBDA_CONFIG', 'REQUIREMENT_INVALID']);
/** For this long a refused archive is not read again, ms; what failed for a busy machine may then succeed. */
const REFUSED_MS = 10_000;

/** While the disk is full an update is tried again after this time, and then after twice the time, up to the other, ms. */
const FULL_FIRST_MS = 1_000;
const FULL_MOST_MS = 30_000;

export interface PullerDeps {
  store: RegistryStore;
  intake: Intake;
  packages: FunctionPackages;
  dirs: CodeDirs;
  stats: Stats;
  depTrace: DepTrace;
  log: LambdaLog;
  /** For this long after a check the registry is not asked again. */
  registryCacheMs: number;
  /** Milliseconds of a clock that never goes back. */
  now: () => number;
}

export class CodePuller {
  private current: CodeVersion | undefined;
  private checkedAt = -Infinity;
  private pulling: Promise<CodeVersion> | undefined;
  private refused: { version: string; error: ArgyleError; until: number } | undefined;

  /** An update that a full disk put off. */
  private putOff: { version: string; waitMs: number; until: number } | undefined;

  constructor(
    readonly name: string,
    private readonly deps: PullerDeps,
  ) {}

  /** Directory of the code that was pulled last; undefined when there is none. */
  get codeDir(): string | undefined {
    return this.current?.facts.dir;
  }

  /**
   * The code to run now. Concurrent callers share one pull. After a failed pull, also one that would have replaced
   * working code, the next caller pulls again. While an update finds the disk full, the code that worked stays.
   * @throws ArgyleError LAMBDA_NOT_FOUND, LAMBDA_CODE, LAMBDA_CONFIG, REGISTRY, REQUIREMENT_INVALID, INSTALL_FAILED
   */
  get(): Promise<CodeVersion> {
    return this.fresh() ?? this.pull();
  }

  /** Resolved code when the registry need not be asked, so that callers can go on without a turn of the loop. */
  freshCode(): CodeVersion | undefined {
    const { current, deps } = this;
    // POLICY: while unpinned time is left the registry is not even asked; tests of the original rely on that.
    return current !== undefined && deps.now() - this.checkedAt < deps.registryCacheMs ? current : undefined;
  }

  /** Lets go of the code; its directory is removed after its last instance. */
  drop(): void {
    this.current?.release();
    this.current = undefined;
    this.checkedAt = -Infinity;
    this.putOff = undefined;
  }

  private fresh(): Promise<CodeVersion> | undefined {
    const code = this.freshCode();
    return code === undefined ? undefined : Promise.resolve(code);
  }

  private pull(): Promise<CodeVersion> {
    this.pulling ??= this.update().finally(() => (this.pulling = undefined));
    return this.pulling;
  }

  private async update(): Promise<CodeVersion> {
    const startMs = this.deps.now();
    const { store } = this.deps;
    const found = await store.stat(this.name);
    if (found === undefined) throw this.notFound();
    // Unchanged code restarts the window too: the original asks at every request from then on.
    if (this.current?.facts.version === found.version) {
      this.checkedAt = this.deps.now();
      return this.current;
    }
    if (this.current !== undefined && this.isPutOff(found.version)) {
      this.checkedAt = this.deps.now();
      return this.current;
    }
    const code = await this.download().catch((thrown: unknown) => this.putOffUpdate(found.version, thrown));
    if (code === this.current) return code;
    this.putOff = undefined;
    this.current?.release();
    this.current = code;
    this.checkedAt = this.deps.now();
    this.deps.stats.record('pull-lambda', this.deps.now() - startMs);
    this.deps.depTrace.traceFunction(
      this.name,
      code.facts.dir,
      code.facts.packages.map(({ spec }) => spec),
    );
    return code;
  }

  private isPutOff(version: string): boolean {
    return this.putOff?.version === version && this.deps.now() < this.putOff.until;
  }

  /**
   * POLICY: a full disk is no fault of the new code, so the old code goes on answering. It is logged once for a version.
   * @returns the code that is there
   * @throws what was thrown, when there is none or the disk is not the cause
   */
  private putOffUpdate(version: string, thrown: unknown): CodeVersion {
    if (this.current === undefined || !isDiskFull(thrown)) throw thrown;
    const before = this.putOff?.version === version ? this.putOff : undefined;
    const waitMs = before === undefined ? FULL_FIRST_MS : Math.min(before.waitMs * 2, FULL_MOST_MS);
    this.putOff = { version, waitMs, until: this.deps.now() + waitMs };
    this.checkedAt = this.deps.now();
    if (before === undefined) {
      this.deps.log.warn({ lambda: this.name, err: thrown }, 'the disk is full: the function keeps its old code');
    }
    return this.current;
  }

  /** Unpacks and checks the archive, or throws at once what the same archive was refused for a moment ago. */
  private async examined({ data, version }: OpenObject, dir: string): Promise<Examined> {
    const { refused, deps } = this;
    if (refused?.version === version && deps.now() < refused.until) throw refused.error;
    this.refused = undefined;
    try {
      return await deps.intake.unpack(data, dir);
    } catch (thrown) {
      const error = asArgyleError('LAMBDA_CODE', thrown);
      const isFault = FAULTS.has(error.code) && !isDiskFull(error);
      if (isFault) this.refused = { version, error, until: deps.now() + REFUSED_MS };
      throw error;
    }
  }

  private async download(): Promise<CodeVersion> {
    const { store, dirs, packages, log } = this.deps;
    const object = await store.open(this.name);
    if (object === undefined) throw this.notFound();
    let dir: string | undefined;
    try {
      const made = await dirs.make(this.name);
      dir = made.dir;
      const { packages: request, warnings, ...examined } = await this.examined(object, dir);
      for (const warning of warnings) log.warn({ lambda: this.name }, warning);
      const { version } = object;
      const planned = await packages.planVersion(this.name, version, request);
      const { imports, plan } = await packages.install(planned);
      if (plan.pins.length !== planned.pins.length || request.kind === 'open') {
        await packages.remember(this.name, version, plan);
      }
      const facts = { name: this.name, ...made, version, ...examined, packages: imports };
      return new CodeVersion(facts, (code) => void dirs.remove(code.facts.dir));
    } catch (thrown) {
      object.data.destroy();
      if (dir !== undefined) await dirs.remove(dir);
      throw asArgyleError('LAMBDA_CODE', thrown);
    }
  }

  private notFound(): ArgyleError {
    const { bucket } = this.deps.store;
    const message = `lambda "${this.name}" not found in blob store (bucket="${bucket}", key="${this.name}.tar.gz")`;
    return new ArgyleError('LAMBDA_NOT_FOUND', message, { field: 'name', value: this.name });
  }
}
