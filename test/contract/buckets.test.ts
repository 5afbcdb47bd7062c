/** Contract, section 5: a live worker whose registry is a bucket, on a local server with S3's protocol. */
import { describeContract, liveWorker, localTest, REGISTRY_CACHE_MS } from '../support/contract-target';
import { startS3Server, type S3Server } from '../support/s3-server';
import { until } from '../support/until';

jest.setTimeout(60_000);

describeContract('contract: a bucket', () => {
  let server: S3Server;

  beforeAll(async () => {
    server = await startS3Server('functions');
  });
  // Start this worker after the server: its environment names the server.
  const worker = liveWorker({ config: { registry: 's3://functions?region=us-east-1' } });
  afterAll(() => server.close());

  const says = (text: string) => ({ 'f.py': `def f(event):\n    return "${text}"\n` });

  localTest('5 s3://bucket?region=…: functions are uploaded, listed, described, run and deleted', async () => {
    const name = await worker.deploy('stored', says('from the bucket'));
    expect(await worker.invoke(name)).toMatchObject({ status: 200, body: '"from the bucket"' });
    expect(JSON.parse((await worker.call('/registry/')).body)).toContain(name);
    expect(await worker.call(`/registry/${name}/config`)).toMatchObject({ status: 200 });
    expect(await worker.call(`/registry/${name}`, { method: 'DELETE' })).toMatchObject({ status: 200 });
    expect(await worker.call(`/registry/${name}`, { method: 'DELETE' })).toMatchObject({ status: 500 });
  });

  localTest('5 an unknown function is not found in the bucket, by its name and key', async () => {
    const body = 'lambda "x" not found in blob store (bucket="s3://functions?region=us-east-1", key="x.tar.gz")\n';
    expect(await worker.invoke('x')).toMatchObject({ status: 500, body });
  });

  localTest('5 new code in the bucket runs once registry_cache_ms is over', async () => {
    const name = await worker.deploy('updated', says('old'));
    expect(await worker.invoke(name)).toMatchObject({ body: '"old"' });
    await worker.deploy('updated', says('new'));
    await until('the new code runs', async () => (await worker.invoke(name)).body === '"new"', REGISTRY_CACHE_MS * 20);
  });
});
