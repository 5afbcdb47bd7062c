/** The functions that the worker offers. The routes of /registry show and change this list. */
import type { Readable } from 'node:stream';
import type { InstallWhen } from '../../config/types';
import { ArgyleError, asArgyleError } from '../../errors';
import type { Intake } from '../code/intake/intake';
import { receive } from '../code/intake/receive';
import type { LambdaConfig } from '../code/lambda-config';
import { checkLambdaName } from '../code/name';
import type { SecretSource } from '../code/secrets';
import type { Plan } from '../../packages/plan';
import { failed, InstallStates, type InstalledPackage, type InstallState } from './installs';
import type { FunctionPackages, LambdaLog, RegistryStore } from '../ports';

/** The checks and installs of an upload beyond its archive: packages and secrets. */
export interface UploadInstalls {
  packages: FunctionPackages;
  /** config.argyle.install: the default for uploads. */
  when: InstallWhen;
  secrets: SecretSource;
  log: LambdaLog;
}

export class Registry {
  private constructor(
    private readonly store: RegistryStore,
    private readonly names: Set<string>,
    private readonly intake: Intake,
    private readonly maxUploadBytes: number,
    private readonly installs: UploadInstalls | undefined,
  ) {}

  private readonly board = new InstallStates();

  /**
   * @param maxUploadBytes 0 for no limit
   * @param installs absent: an upload installs no packages
   * @throws ArgyleError REGISTRY
   */
  static async create(
    store: RegistryStore,
    intake: Intake,
    maxUploadBytes: number,
    installs?: UploadInstalls,
  ): Promise<Registry> {
    return new Registry(store, new Set(await store.list()), intake, maxUploadBytes, installs);
  }

  /** Functions that were in the store at the start or were uploaded since, without the deleted ones. */
  list(): string[] {
    return [...this.names];
  }

  /**
   * Stores an archive once it is complete and every check has passed. A refused upload changes nothing: the function
   * that was stored before stays in service.
   *
   * Unless `when` is `lazy`, the packages are resolved before the archive is stored. With `wait`, they are also
   * installed before the archive is stored.
   * @param when argyle.install by default
   * @throws ArgyleError LAMBDA_NAME, UPLOAD_TOO_LARGE, LAMBDA_CODE, LAMBDA_CONFIG, REQUIREMENT_INVALID, INSTALL_FAILED,
   *   REGISTRY, CLIENT_GONE
   */
  async upload(name: string, data: Readable, when = this.installs?.when ?? 'lazy'): Promise<LambdaConfig> {
    checkLambdaName(name);
    return this.intake.withFile(async (file) => {
      await this.receive(data, file);
      const state = this.board.begin(name);
      try {
        const { config, packages, warnings } = await this.intake.check(file);
        await this.warn(name, config, warnings, state);
        const plan = when === 'lazy' ? undefined : await this.installs?.packages.plan(packages, true);
        const done = plan !== undefined && when === 'wait' ? await this.install(plan, state) : plan;
        await this.store.put(name, file);
        this.names.add(name);
        if (done === undefined) state.state = 'lazy';
        else if (when === 'wait') await this.remember(name, done);
        else this.installBehind(name, done, state);
        return config;
      } catch (thrown) {
        failed(state, asArgyleError('REGISTRY', thrown));
        throw thrown;
      }
    });
  }

  /** Progress of the install of the function's last upload; undefined when the function was not uploaded here. */
  installOf(name: string): InstallState | undefined {
    checkLambdaName(name);
    return this.board.of(name);
  }

  /**
   * Collects warnings. POLICY: a missing secret is no error. It may be set later, or on another worker of the same
   * registry.
   */
  private async warn(name: string, { secrets }: LambdaConfig, found: string[], state: InstallState): Promise<void> {
    const warnings = [...found, ...((await this.installs?.secrets.problems(secrets)) ?? [])];
    if (warnings.length > 0) state.warnings = warnings;
    for (const warning of warnings) this.installs?.log.warn({ lambda: name }, warning);
  }

  private async install(plan: Plan, state: InstallState): Promise<Plan> {
    state.state = 'installing';
    const onReady = (ready: InstalledPackage): void => {
      if (!state.packages.some(({ spec }) => spec === ready.spec)) state.packages.push(ready);
    };
    const done = await this.installs?.packages.install(plan, { retry: true, onReady });
    state.state = 'ready';
    return done?.plan ?? plan;
  }

  /**
   * Installs packages after the upload was answered. A failure is logged, and callers of the function get the error.
   */
  private installBehind(name: string, plan: Plan, state: InstallState): void {
    this.install(plan, state)
      .then((done) => this.remember(name, done))
      .catch((thrown: unknown) => {
        const err = asArgyleError('INSTALL_FAILED', thrown);
        failed(state, err);
        this.installs?.log.warn({ lambda: name, err }, 'the packages of an upload could not be installed');
      });
  }

  private async remember(name: string, plan: Plan): Promise<void> {
    const stored = await this.store.stat(name);
    if (stored !== undefined) await this.installs?.packages.remember(name, stored.version, plan);
  }

  /** @throws ArgyleError LAMBDA_NAME, LAMBDA_NOT_FOUND, REGISTRY */
  async remove(name: string): Promise<void> {
    checkLambdaName(name);
    const found = await this.store.remove(name);
    this.names.delete(name);
    this.board.forget(name);
    if (!found) throw new ArgyleError('LAMBDA_NOT_FOUND', `lambda ${name} not found`, { field: 'name', value: name });
  }

  /**
   * The parsed ol.yaml of a stored function, even if the function was stored without this worker.
   * @returns undefined when the store has no such function
   * @throws ArgyleError LAMBDA_NAME, LAMBDA_CODE, LAMBDA_CONFIG, REGISTRY
   */
  async config(name: string): Promise<LambdaConfig | undefined> {
    checkLambdaName(name);
    const object = await this.store.open(name);
    if (object === undefined) return undefined;
    try {
      return await this.intake.config(object.data);
    } finally {
      object.data.destroy();
    }
  }

  private async receive(data: Readable, file: string): Promise<void> {
    try {
      await receive(data, file, this.maxUploadBytes, tooLarge(this.maxUploadBytes));
    } catch (thrown) {
      if (data.errored !== null) throw new ArgyleError('CLIENT_GONE', 'the upload was cut off', { cause: thrown });
      throw asArgyleError('REGISTRY', thrown);
    }
  }

  /** Checks a declared length before any byte is read. @throws ArgyleError UPLOAD_TOO_LARGE above the limit */
  checkLength(bytes: number): void {
    if (this.maxUploadBytes > 0 && bytes > this.maxUploadBytes) throw tooLarge(this.maxUploadBytes);
  }
}

function tooLarge(limit: number): ArgyleError {
  return new ArgyleError('UPLOAD_TOO_LARGE', `the upload is larger than argyle.max_upload_mb (${limit / 2 ** 20} MB)`);
}
