/** The S3 store against a server that speaks S3's protocol. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import S3rver from 's3rver';
import { openStore } from '../../../../src/lambda/registry/open-store';
import { openS3 } from '../../../../src/lambda/registry/s3-store';
import type { RegistryStore } from '../../../../src/lambda/ports';

describe('the S3 store', () => {
  const saved = { ...process.env };
  let dir: string;
  let server: S3rver;
  let store: RegistryStore;

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 's3-'));
    const options = { address: '127.0.0.1', port: 0, silent: true, directory: path.join(dir, 'data') };
    server = new S3rver({ ...options, configureBuckets: [{ name: 'functions', configs: [] }] });
    const { port } = await server.run();
    process.env['AWS_ENDPOINT_URL_S3'] = `http://127.0.0.1:${port}`;
    process.env['AWS_ACCESS_KEY_ID'] = 'S3RVER';
    process.env['AWS_SECRET_ACCESS_KEY'] = 'S3RVER';
    store = await openStore('s3://functions?region=us-east-1', { s3: (url) => Promise.resolve(openS3(url)) });
  });
  afterAll(async () => {
    await store.close();
    await server.close();
    process.env = saved;
    await rm(dir, { recursive: true });
  });

  const put = async (name: string, text: string): Promise<void> => {
    const file = path.join(dir, 'upload');
    await writeFile(file, text);
    await store.put(name, file);
  };
  const read = async (name: string): Promise<string | undefined> => {
    const object = await store.open(name);
    if (object === undefined) return undefined;
    const chunks: Buffer[] = [];
    for await (const chunk of object.data) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  };

  it('stores, lists, reads and removes archives at the root of the bucket', async () => {
    expect(await store.list()).toEqual([]);
    await put('echo', 'one');
    await put('a.b', 'x');
    expect((await store.list()).sort()).toEqual(['a.b', 'echo']);
    expect(await read('echo')).toBe('one');
    expect(await store.remove('a.b')).toBe(true);
    expect(await store.remove('a.b')).toBe(false);
    expect(await store.list()).toEqual(['echo']);
  });

  it('tells versions apart, and gives stat and open the same one', async () => {
    await put('v', 'one');
    const first = await store.stat('v');
    const opened = await store.open('v');
    opened?.data.destroy();
    expect(opened?.version).toBe(first?.version);
    await put('v', 'two!');
    expect((await store.stat('v'))?.version).not.toBe(first?.version);
  });

  it('knows nothing of what is not there, and names itself', async () => {
    expect(await store.stat('none')).toBeUndefined();
    expect(await read('none')).toBeUndefined();
    expect(store.bucket).toBe('s3://functions?region=us-east-1');
  });

  it('fails as REGISTRY where there is no such bucket', async () => {
    const lost = openS3(new URL('s3://nowhere?region=us-east-1'));
    await expect(lost.list()).rejects.toMatchObject({ code: 'REGISTRY' });
    await lost.close();
  });
});
