/** The functions that the worker offers: what /registry shows and changes. */
import type { Readable } from 'node:stream';
import { ArgyleError, asArgyleError } from '../../errors';
import type { Intake } from '../intake/intake';
import { receive } from '../intake/receive';
import type { LambdaConfig } from '../lambda-config';
import { checkLambdaName } from '../name';
import type { RegistryStore } from '../ports';

export class Registry {
  private constructor(
    private readonly store: RegistryStore,
    private readonly names: Set<string>,
    private readonly intake: Intake,
    private readonly maxUploadBytes: number,
  ) {}

  /**
   * @param maxUploadBytes 0 for no limit
   * @throws ArgyleError REGISTRY
   */
  static async create(store: RegistryStore, intake: Intake, maxUploadBytes: number): Promise<Registry> {
    return new Registry(store, new Set(await store.list()), intake, maxUploadBytes);
  }

  /** Functions that were there at the start or were uploaded here since, without the deleted ones. */
  list(): string[] {
    return [...this.names];
  }

  /**
   * Stores an archive, once it is whole and everything in it was checked. A refused upload changes nothing: what was
   * stored under the name before stays in service.
   * @throws ArgyleError LAMBDA_NAME, UPLOAD_TOO_LARGE, LAMBDA_CODE, LAMBDA_CONFIG, REQUIREMENT_INVALID, REGISTRY,
   *   CLIENT_GONE
   */
  async upload(name: string, data: Readable): Promise<LambdaConfig> {
    checkLambdaName(name);
    return this.intake.withFile(async (file) => {
      await this.receive(data, file);
      const { config } = await this.intake.check(file);
      await this.store.put(name, file);
      this.names.add(name);
      return config;
    });
  }

  /** @throws ArgyleError LAMBDA_NAME, LAMBDA_NOT_FOUND, REGISTRY */
  async remove(name: string): Promise<void> {
    checkLambdaName(name);
    const found = await this.store.remove(name);
    this.names.delete(name);
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
