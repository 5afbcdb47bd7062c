/** The functions that the worker offers: what /registry shows and changes. */
import type { Readable } from 'node:stream';
import type { InstallWhen } from '../../config/types';
import { ArgyleError, asArgyleError } from '../../errors';
import type { Intake } from '../intake/intake';
import { receive } from '../intake/receive';
import type { LambdaConfig } from '../lambda-config';
import { checkLambdaName } from '../name';
import type { Plan } from '../../packages/plan';
import { failed, InstallBoard, type InstalledPackage, type InstallState } from '../installs';
import type { FunctionPackages, LambdaLog, RegistryStore } from '../ports';

/** How packages of uploads are installed. */
export interface UploadInstalls {
  packages: FunctionPackages;
  /** config.argyle.install: for uploads that do not say. */
  when: InstallWhen;
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

  private readonly board = new InstallBoard();

  /**
   * @param maxUploadBytes 0 for no limit
   * @param installs absent: an upload installs nothing
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

  /** Functions that were there at the start or were uploaded here since, without the deleted ones. */
  list(): string[] {
    return [...this.names];
  }

  /**
   * Stores an archive, once it is whole and everything in it was checked. A refused upload changes nothing: what was
   * stored under the name before stays in service.
   *
   * Packages are resolved before the archive is stored, unless `when` is lazy. With `wait` they are installed before, too.
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
        const { config, packages } = await this.intake.check(file);
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

  /** How far the install of the function's last upload is; undefined when it was not uploaded here. */
  installOf(name: string): InstallState | undefined {
    checkLambdaName(name);
    return this.board.of(name);
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

  /** Installs after the upload was answered: a failure is logged, and told to callers of the function. */
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
   * The parsed ol.yaml of a stored function, also one that came into the store by another way.
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

  /** @throws ArgyleError UPLOAD_TOO_LARGE for a declared length above the limit, before anything is read */
  checkLength(bytes: number): void {
    if (this.maxUploadBytes > 0 && bytes > this.maxUploadBytes) throw tooLarge(this.maxUploadBytes);
  }
}

function tooLarge(limit: number): ArgyleError {
  return new ArgyleError('UPLOAD_TOO_LARGE', `the upload is larger than argyle.max_upload_mb (${limit / 2 ** 20} MB)`);
}
