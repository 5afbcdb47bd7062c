/** The GCS store against a server that speaks its protocol. */
import { openGs } from '../../../../src/lambda/registry/gs-store';
import { openStore } from '../../../../src/lambda/registry/open-store';
import type { RegistryStore } from '../../../../src/lambda/ports';
import { startGcs, whyNoGcs, type GcsServer } from '../../../support/gcs-server';
import { storeContract } from '../../../support/store-contract';

const why = whyNoGcs();
const real = why === undefined ? describe : describe.skip;

// Optional: only PyPI has a server of this protocol (gcp-storage-emulator).
real(`the GCS store${why === undefined ? '' : ` [optional] (${why})`}`, () => {
  const saved = { ...process.env };
  let server: GcsServer;
  let store: RegistryStore;

  beforeAll(async () => {
    server = await startGcs('functions');
    process.env['STORAGE_EMULATOR_HOST'] = server.url;
    store = await openStore('gs://functions', { gs: (url) => Promise.resolve(openGs(url)) });
  }, 20_000);
  afterAll(async () => {
    await store.close();
    await server.close();
    process.env = saved;
  });

  storeContract('gs://functions', () => store);
});

it('refuses a URL without a bucket', () => {
  expect(() => openGs(new URL('gs:///x'))).toThrow('invalid registry "gs:///x": no bucket');
});
