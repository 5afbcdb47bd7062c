/** Keeps the code of one function current: asks the registry, downloads and unpacks the archive, installs packages. */
import { ArgyleError, asArgyleError, isDiskFull, type ErrorCode } from '../../errors';
import type { Stats } from '../../metrics';
import type { CodeDirs } from './directories';
import { CodeVersion } from './version';
import type { DepTrace } from '../dep-trace';
import type { Intake } from './intake/intake';
import type { Examined } from './intake/steps';
import type { FunctionPackages, LambdaLog, OpenObject, RegistryStore } from '../ports';
import { shuttingDown } from '../serve/pool-parts';
import { sameSecrets, type SecretSource } from './secrets';

/** Errors of the archive itself. The archive is refused until it changes. */
const FAULTS: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['LAMBDA_CODE', 'LAMBDA_CONFIG', 'REQUIREMENT_INVALID']);
/**
 * A refused archive is not examined again for this time, in ms. After this time, an error of an overloaded machine may
 * have passed.
 */
const REFUSED_MS = 10_000;

/** Back-off of an update while the disk is full: first wait and longest wait, in ms. Each failure doubles the wait. */
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
  secrets: SecretSource;
  /** After a check, the registry is not asked again for this time, in ms. */
  registryCacheMs: number;
  /** Time of a monotonic clock, in ms. */
  now: () => number;
}

export class CodePuller {
  private current: CodeVersion | undefined;
  private checkedAt = -Infinity;
  private pulling: Promise<CodeVersion> | undefined;
  /** Whether the running pull, or the last one, may have missed a change. */
  private outdated = false;
  private refused: { version: string; error: ArgyleError; until: number } | undefined;

  /** Whether the code exists and one of its secrets is missing. */
  private withheld = false;

  /** An update that was put off because of a full disk. */
  private deferred: { version: string; waitMs: number; until: number } | undefined;
  private closed = false;

  constructor(
    readonly name: string,
    private readonly deps: PullerDeps,
  ) {}

  /** Directory of the last pulled code; undefined when there is none. */
  get codeDir(): string | undefined {
    return this.current?.facts.dir;
  }

  /** Whether no instance may run the last pulled code, because a secret is missing. */
  get isWithheld(): boolean {
    return this.withheld;
  }

  /**
   * The code to run now. Concurrent callers share one pull. After a failed pull, the next caller pulls again, even when
   * older code works. When the disk is too full for an update, the old code stays in use.
   * @throws ArgyleError LAMBDA_NOT_FOUND, LAMBDA_CODE, LAMBDA_CONFIG, LAMBDA_SECRET, REGISTRY, REQUIREMENT_INVALID,
   *   INSTALL_FAILED
   */
  get(): Promise<CodeVersion> {
    return this.fresh() ?? this.pull();
  }

  /**
   * The code, when the registry need not be asked. The result is no promise, so callers continue in the same turn of
   * the event loop.
   */
  freshCode(): CodeVersion | undefined {
    const { current, deps } = this;
    // POLICY: within registryCacheMs the registry is not asked. Tests of the original rely on this.
    return current !== undefined && deps.now() - this.checkedAt < deps.registryCacheMs ? current : undefined;
  }

  /** Makes the next caller ask the registry. */
  expire(): void {
    this.checkedAt = -Infinity;
    this.outdated = this.pulling !== undefined;
  }

  /** Whether code exists that the next caller must check with the registry. */
  get isStale(): boolean {
    return this.current !== undefined && this.freshCode() === undefined;
  }

  /** Releases the code. Its directory is removed after its last instance. */
  drop(): void {
    this.current?.release();
    this.current = undefined;
    this.withheld = false;
    this.checkedAt = -Infinity;
    this.deferred = undefined;
  }

  /** Releases the code for good. Resolves once no pull runs, because the code of a running pull would have no owner. */
  async close(): Promise<void> {
    this.closed = true;
    await this.pulling?.catch(() => undefined);
    this.drop();
  }

  private fresh(): Promise<CodeVersion> | undefined {
    const code = this.freshCode();
    return code === undefined ? undefined : Promise.resolve(code);
  }

  private pull(): Promise<CodeVersion> {
    const before = this.pulling;
    if (before !== undefined && !this.outdated) return before;
    this.outdated = false;
    const update = (): Promise<CodeVersion> => this.update();
    const pulling = (before?.then(update, update) ?? update()).finally(() => {
      if (this.outdated) this.checkedAt = -Infinity;
      if (this.pulling === pulling) this.pulling = undefined;
    });
    this.pulling = pulling;
    return pulling;
  }

  private async update(): Promise<CodeVersion> {
    const startMs = this.deps.now();
    const { store } = this.deps;
    if (this.closed) throw shuttingDown();
    const found = await store.stat(this.name);
    if (found === undefined) throw this.notFound();
    // The check restarts the window for unchanged code, too. The original would ask again at each later request.
    if (this.current?.facts.version === found.version) return this.checked(this.current);
    if (this.current !== undefined && this.isDeferred(found.version)) return this.checked(this.current);
    const code = await this.download().catch((thrown: unknown) => this.deferUpdate(found.version, thrown));
    if (code === this.current) return this.checked(code);
    // close() may have run during the pull. The cast is needed, because the compiler assumes an unchanged field.
    if (this.closed as boolean) {
      code.release();
      throw shuttingDown();
    }
    this.deferred = undefined;
    this.current?.release();
    this.current = code;
    this.deps.stats.record('pull-lambda', this.deps.now() - startMs);
    this.deps.depTrace.traceFunction(
      this.name,
      code.facts.dir,
      code.facts.packages.map(({ spec }) => spec),
    );
    return this.checked(code);
  }

  /**
   * The current code with the current values of its secrets.
   * POLICY: secrets are part of the code. They are read at each check of the registry, and a change replaces all
   * instances.
   * @throws ArgyleError LAMBDA_SECRET; the next caller reads the secrets again
   */
  private async checked(code: CodeVersion): Promise<CodeVersion> {
    const names = code.facts.config.secrets;
    this.withheld = names.length > 0;
    if (names.length > 0) {
      const secrets = await this.deps.secrets.read(names);
      if (this.current !== code) throw new ArgyleError('SHUTTING_DOWN', 'the function was dropped meanwhile');
      this.withheld = false;
      if (code.secrets === undefined || !sameSecrets(code.secrets, secrets)) {
        this.current = code.withSecrets(secrets);
        code.release();
      }
    }
    this.checkedAt = this.deps.now();
    return this.current ?? code;
  }

  private isDeferred(version: string): boolean {
    return this.deferred?.version === version && this.deps.now() < this.deferred.until;
  }

  /**
   * Puts an update off when the disk is full.
   * POLICY: a full disk is no fault of the new code, so the old code stays in use. The log has one line per version.
   * @returns the current code
   * @throws `thrown`, when there is no current code or the disk is not the cause
   */
  private deferUpdate(version: string, thrown: unknown): CodeVersion {
    if (this.current === undefined || !isDiskFull(thrown)) throw thrown;
    const before = this.deferred?.version === version ? this.deferred : undefined;
    const waitMs = before === undefined ? FULL_FIRST_MS : Math.min(before.waitMs * 2, FULL_MOST_MS);
    this.deferred = { version, waitMs, until: this.deps.now() + waitMs };
    if (before === undefined) {
      this.deps.log.warn({ lambda: this.name, err: thrown }, 'the disk is full: the function keeps its old code');
    }
    return this.current;
  }

  /** Unpacks and checks the archive. An archive that was refused within REFUSED_MS gets the same error again. */
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
