/** Contract, section 5: a live worker whose registry is a bucket, on a server of this machine that speaks S3's protocol. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import S3rver from 's3rver';
import { describeContract, liveWorker, localTest, REGISTRY_CACHE_MS } from '../support/live-worker';
import { until } from '../support/until';

jest.setTimeout(60_000);

describeContract('contract: a bucket', () => {
  const saved = { ...process.env };
  let dir: string;
  let server: S3rver;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'bucket-'));
    const options = { address: '127.0.0.1', port: 0, silent: true, directory: dir };
    server = new S3rver({ ...options, configureBuckets: [{ name: 'functions', configs: [] }] });
    const { port } = await server.run();
    process.env['AWS_ENDPOINT_URL_S3'] = `http://127.0.0.1:${port}`;
    process.env['AWS_ACCESS_KEY_ID'] = 'S3RVER';
    process.env['AWS_SECRET_ACCESS_KEY'] = 'S3RVER';
  });
  // Behind the server: it starts in the environment that was just set.
  const worker = liveWorker({ config: { registry: 's3://functions?region=us-east-1' } });
  afterAll(async () => {
    await server.close();
    process.env = saved;
    rmSync(dir, { recursive: true, force: true });
  });

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
