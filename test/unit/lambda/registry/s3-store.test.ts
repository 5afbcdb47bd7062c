/** The S3 store against a server that speaks S3's protocol. */
import { openStore } from '../../../../src/lambda/registry/open-store';
import { openS3 } from '../../../../src/lambda/registry/s3-store';
import type { RegistryStore } from '../../../../src/lambda/ports';
import { startS3Server, type S3Server } from '../../../support/s3-server';
import { storeContract } from '../../../support/store-contract';

describe('the S3 store', () => {
  let server: S3Server;
  let store: RegistryStore;

  beforeAll(async () => {
    server = await startS3Server('functions');
    store = await openStore('s3://functions?region=us-east-1', { s3: (url) => Promise.resolve(openS3(url)) });
    // The AWS SDK takes seconds to load on a busy machine.
  }, 60_000);
  afterAll(async () => {
    await store.close();
    await server.close();
  });

  storeContract('s3://functions?region=us-east-1', () => store);

  it('fails with REGISTRY for a missing bucket', async () => {
    const lost = openS3(new URL('s3://nowhere?region=us-east-1'));
    await expect(lost.list()).rejects.toMatchObject({ code: 'REGISTRY' });
    await lost.close();
  });
});
