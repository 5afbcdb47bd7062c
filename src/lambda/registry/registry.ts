/** The functions that the worker offers: what /registry shows and changes. */
import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { Transform } from 'node:stream';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ArgyleError, asArgyleError } from '../../errors';
import { readFromArchive } from '../archive';
import type { LambdaConfig } from '../lambda-config';
import { defaultLambdaConfig } from '../lambda-config';
import { checkLambdaName } from '../name';
import { MAX_OL_YAML_BYTES, parseOlYaml } from '../ol-yaml';
import type { RegistryStore } from '../ports';

export class Registry {
  private constructor(
    private readonly store: RegistryStore,
    private readonly names: Set<string>,
    private readonly stagingDir: string,
    private readonly maxUploadBytes: number,
  ) {}

  /**
   * @param stagingDir existing directory for uploads that are not complete
   * @param maxUploadBytes 0 for no limit
   * @throws ArgyleError REGISTRY
   */
  static async create(store: RegistryStore, stagingDir: string, maxUploadBytes: number): Promise<Registry> {
    return new Registry(store, new Set(await store.list()), stagingDir, maxUploadBytes);
  }

  /** Functions that were there at the start or were uploaded here since, without the deleted ones. */
  list(): string[] {
    return [...this.names];
  }

  /**
   * Stores an archive, once it is whole and its ol.yaml parses. A failed upload changes nothing.
   * @throws ArgyleError LAMBDA_NAME, UPLOAD_TOO_LARGE, LAMBDA_CODE, LAMBDA_CONFIG, REGISTRY, CLIENT_GONE
   */
  async upload(name: string, data: Readable): Promise<LambdaConfig> {
    checkLambdaName(name);
    const file = path.join(this.stagingDir, `upload-${randomBytes(8).toString('hex')}`);
    try {
      await this.receive(data, file);
      const config = configOf(await readFromArchive(createReadStream(file), 'ol.yaml', MAX_OL_YAML_BYTES));
      await this.store.put(name, file);
      this.names.add(name);
      return config;
    } finally {
      await fs.rm(file, { force: true });
    }
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
      return configOf(await readFromArchive(object.data, 'ol.yaml', MAX_OL_YAML_BYTES));
    } finally {
      object.data.destroy();
    }
  }

  private async receive(data: Readable, file: string): Promise<void> {
    const { maxUploadBytes } = this;
    let bytes = 0;
    const counter = new Transform({
      transform(chunk: Buffer, _encoding, callback) {
        bytes += chunk.length;
        if (maxUploadBytes === 0 || bytes <= maxUploadBytes) callback(null, chunk);
        else callback(tooLarge(maxUploadBytes));
      },
    });
    try {
      await pipeline(
        data.iterator({ destroyOnReturn: false }),
        counter,
        createWriteStream(file, { flags: 'wx', mode: 0o600 }),
      );
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

function configOf(yaml: string | undefined): LambdaConfig {
  return yaml === undefined ? defaultLambdaConfig() : parseOlYaml(yaml);
}

function tooLarge(limit: number): ArgyleError {
  return new ArgyleError('UPLOAD_TOO_LARGE', `the upload is larger than argyle.max_upload_mb (${limit / 2 ** 20} MB)`);
}
