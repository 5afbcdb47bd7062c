/** Contract tests of every bucket store, whatever its protocol. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import type { RegistryStore } from '../../src/lambda/ports';

/** Declares the tests, inside a describe. @param url the URL that opened the store */
export function storeContract(url: string, store: () => RegistryStore): void {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'store-'));
  });
  afterAll(() => rm(dir, { recursive: true }));

  const put = async (name: string, text: string): Promise<void> => {
    const file = path.join(dir, 'upload');
    await writeFile(file, text);
    await store().put(name, file);
  };
  const read = async (name: string): Promise<string | undefined> => {
    const object = await store().open(name);
    if (object === undefined) return undefined;
    const chunks: Buffer[] = [];
    for await (const chunk of object.data) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  };

  it('stores, lists, reads and removes archives at the root of the bucket', async () => {
    expect(await store().list()).toEqual([]);
    await put('echo', 'one');
    await put('a.b', 'x');
    expect((await store().list()).sort()).toEqual(['a.b', 'echo']);
    expect(await read('echo')).toBe('one');
    expect(await store().remove('a.b')).toBe(true);
    expect(await store().remove('a.b')).toBe(false);
    expect(await store().list()).toEqual(['echo']);
  });

  it('gives each upload a new version, and the same version to stat and open', async () => {
    await put('v', 'one');
    const first = await store().stat('v');
    const opened = await store().open('v');
    opened?.data.destroy();
    expect(opened?.version).toBe(first?.version);
    await put('v', 'two!');
    expect((await store().stat('v'))?.version).not.toBe(first?.version);
  });

  it('returns undefined for a missing archive, and has the URL that opened it', async () => {
    expect(await store().stat('none')).toBeUndefined();
    expect(await read('none')).toBeUndefined();
    expect(store().bucket).toBe(url);
  });
}
