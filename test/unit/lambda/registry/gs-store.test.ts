/** The GCS store against a server that speaks its protocol. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { openGs } from '../../../../src/lambda/registry/gs-store';
import { openStore } from '../../../../src/lambda/registry/open-store';
import type { RegistryStore } from '../../../../src/lambda/ports';
import { startGcs, whyNoGcs, type GcsServer } from '../../../support/gcs-server';

const why = whyNoGcs();
const real = why === undefined ? describe : describe.skip;

// Optional: Debian and npm have no server of this protocol, PyPI has (gcp-storage-emulator).
real(`the GCS store${why === undefined ? '' : ` [optional] (${why})`}`, () => {
  const saved = { ...process.env };
  let dir: string;
  let server: GcsServer;
  let store: RegistryStore;

  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'gcs-'));
    server = await startGcs('functions');
    process.env['STORAGE_EMULATOR_HOST'] = server.url;
    store = await openStore('gs://functions', { gs: (url) => Promise.resolve(openGs(url)) });
  }, 20_000);
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
    expect(store.bucket).toBe('gs://functions');
  });
});

it('refuses a URL without a bucket', () => {
  expect(() => openGs(new URL('gs:///x'))).toThrow('invalid registry "gs:///x": no bucket');
});
