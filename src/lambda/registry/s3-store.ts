/**
 * Function archives in an S3 bucket: `s3://bucket?region=…`. The client finds credentials, endpoint
 * (AWS_ENDPOINT_URL_S3) and other settings in its own standard ways.
 */
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  paginateListObjectsV2,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { ArgyleError, asArgyleError } from '../../errors';
import type { OpenObject, RegistryStore, StoredObject } from '../ports';

const SUFFIX = '.tar.gz';

function isMissing(thrown: unknown): boolean {
  return thrown instanceof S3ServiceException && ['NotFound', 'NoSuchKey'].includes(thrown.name);
}

function versionOf(head: { ETag?: string | undefined; LastModified?: Date | undefined }): string {
  return `${head.LastModified?.getTime() ?? 0}-${head.ETag ?? ''}`;
}

export class S3Store implements RegistryStore {
  constructor(
    readonly bucket: string,
    private readonly client: S3Client,
    private readonly name: string,
  ) {}

  async list(): Promise<string[]> {
    const names: string[] = [];
    try {
      // Only the root is listed. An object below a prefix is no function.
      const pages = paginateListObjectsV2({ client: this.client }, { Bucket: this.name, Delimiter: '/' });
      for await (const { Contents = [] } of pages) {
        for (const { Key = '' } of Contents) if (Key.endsWith(SUFFIX)) names.push(Key.slice(0, -SUFFIX.length));
      }
      return names;
    } catch (thrown) {
      throw asArgyleError('REGISTRY', thrown);
    }
  }

  async stat(name: string): Promise<StoredObject | undefined> {
    try {
      return { version: versionOf(await this.client.send(new HeadObjectCommand(this.at(name)))) };
    } catch (thrown) {
      if (isMissing(thrown)) return undefined;
      throw asArgyleError('REGISTRY', thrown);
    }
  }

  async open(name: string): Promise<OpenObject | undefined> {
    try {
      const found = await this.client.send(new GetObjectCommand(this.at(name)));
      if (!(found.Body instanceof Readable)) throw new ArgyleError('REGISTRY', `${name}${SUFFIX} came without a body`);
      return { version: versionOf(found), data: found.Body };
    } catch (thrown) {
      if (isMissing(thrown)) return undefined;
      throw asArgyleError('REGISTRY', thrown);
    }
  }

  async put(name: string, path: string): Promise<void> {
    try {
      // A body in memory can be sent again when the connection fails. argyle.max_upload_mb bounds its size.
      const Body = await readFile(path);
      await this.client.send(new PutObjectCommand({ ...this.at(name), Body, ContentType: 'application/gzip' }));
    } catch (thrown) {
      throw asArgyleError('REGISTRY', thrown);
    }
  }

  async remove(name: string): Promise<boolean> {
    // S3 also reports success for an object that never existed.
    if ((await this.stat(name)) === undefined) return false;
    try {
      await this.client.send(new DeleteObjectCommand(this.at(name)));
      return true;
    } catch (thrown) {
      throw asArgyleError('REGISTRY', thrown);
    }
  }

  /** Requests the attributes of one object. A missing object is no error. */
  async check(): Promise<void> {
    await this.stat('readyz');
  }

  close(): Promise<void> {
    this.client.destroy();
    return Promise.resolve();
  }

  private at(name: string): { Bucket: string; Key: string } {
    return { Bucket: this.name, Key: `${name}${SUFFIX}` };
  }
}

/** @throws ArgyleError CONFIG_INVALID when the URL names no bucket */
export function openS3(url: URL): RegistryStore {
  if (url.host === '') {
    throw new ArgyleError('CONFIG_INVALID', `invalid registry "${url.href}": no bucket`, { field: 'registry' });
  }
  const region = url.searchParams.get('region');
  // A self-hosted server has no host name for each bucket.
  const forcePathStyle = (process.env['AWS_ENDPOINT_URL_S3'] ?? process.env['AWS_ENDPOINT_URL']) !== undefined;
  const client = new S3Client({ forcePathStyle, ...(region === null ? {} : { region }) });
  return new S3Store(url.href, client, url.host);
}
