/** The S3 store against a server that speaks S3's protocol. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import S3rver from 's3rver';
import { openStore } from '../../../../src/lambda/registry/open-store';
import { openS3 } from '../../../../src/lambda/registry/s3-store';
import type { RegistryStore } from '../../../../src/lambda/ports';
import { storeContract } from '../../../support/store-contract';

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

  storeContract('s3://functions?region=us-east-1', () => store);

  it('fails as REGISTRY where there is no such bucket', async () => {
    const lost = openS3(new URL('s3://nowhere?region=us-east-1'));
    await expect(lost.list()).rejects.toMatchObject({ code: 'REGISTRY' });
    await lost.close();
  });
});
