/**
 * Function archives in a Google Cloud Storage bucket: `gs://bucket`. The client finds credentials in its own standard
 * ways. STORAGE_EMULATOR_HOST names another server.
 */
import { ApiError, Storage, type Bucket } from '@google-cloud/storage';
import { ArgyleError, asArgyleError } from '../../errors';
import type { OpenObject, RegistryStore, StoredObject } from '../ports';

const SUFFIX = '.tar.gz';

const isMissing = (thrown: unknown): boolean => thrown instanceof ApiError && thrown.code === 404;

export class GsStore implements RegistryStore {
  constructor(
    readonly bucket: string,
    private readonly objects: Bucket,
  ) {}

  async list(): Promise<string[]> {
    try {
      // Only the root is listed. An object below a prefix is no function.
      const [files] = await this.objects.getFiles({ delimiter: '/' });
      return files.filter(({ name }) => name.endsWith(SUFFIX)).map(({ name }) => name.slice(0, -SUFFIX.length));
    } catch (thrown) {
      throw asArgyleError('REGISTRY', thrown);
    }
  }

  async stat(name: string): Promise<StoredObject | undefined> {
    try {
      const [{ generation, updated }] = await this.objects.file(`${name}${SUFFIX}`).getMetadata();
      return { version: `${updated ?? ''}-${generation ?? ''}` };
    } catch (thrown) {
      if (isMissing(thrown)) return undefined;
      throw asArgyleError('REGISTRY', thrown);
    }
  }

  async open(name: string): Promise<OpenObject | undefined> {
    const found = await this.stat(name);
    if (found === undefined) return undefined;
    // The archive is read without decompression. The intake decompresses it.
    return { ...found, data: this.objects.file(`${name}${SUFFIX}`).createReadStream({ decompress: false }) };
  }

  async put(name: string, path: string): Promise<void> {
    try {
      await this.objects.upload(path, {
        destination: `${name}${SUFFIX}`,
        resumable: false,
        metadata: { contentType: 'application/gzip' },
      });
    } catch (thrown) {
      throw asArgyleError('REGISTRY', thrown);
    }
  }

  async remove(name: string): Promise<boolean> {
    try {
      await this.objects.file(`${name}${SUFFIX}`).delete();
      return true;
    } catch (thrown) {
      if (isMissing(thrown)) return false;
      throw asArgyleError('REGISTRY', thrown);
    }
  }

  /** Requests the attributes of one object. A missing object is no error. */
  async check(): Promise<void> {
    await this.stat('readyz');
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** @throws ArgyleError CONFIG_INVALID when the URL names no bucket */
export function openGs(url: URL): RegistryStore {
  if (url.host === '') {
    throw new ArgyleError('CONFIG_INVALID', `invalid registry "${url.href}": no bucket`, { field: 'registry' });
  }
  return new GsStore(url.href, new Storage().bucket(url.host));
}
