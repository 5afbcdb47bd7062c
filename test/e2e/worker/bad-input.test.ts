/** Bad input and bad code over HTTP: each has its answer, and leaks nothing. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { deploy, invoke, packLambda, upload } from '../../support/deploy';
import { E2eWorker } from '../../support/e2e-worker';
import { until } from '../../support/until';
import { startTestMirror, type TestMirror } from '../../support/mirror';
import { describePrivileged } from '../../support/privileged';
import { writeFileSync } from 'node:fs';

jest.setTimeout(process.env['ARGYLE_VM'] === '1' ? 600_000 : 120_000);

describePrivileged('bad input', () => {
  let mirror: TestMirror;
  let worker: E2eWorker;

  beforeAll(async () => {
    mirror = await startTestMirror();
    worker = new E2eWorker({
      config: {
        pip_mirror: mirror.url,
        limits: { runtime_sec: process.env['ARGYLE_VM'] === '1' ? 20 : 3 },
        features: { import_cache: 'tree' },
        import_cache_tree: { packages: [], children: [] },
      },
    });
    await worker.init();
    await worker.up();
  });
  afterAll(async () => {
    await worker.remove();
    await mirror.close();
  });

  it.each<[string, string, number, RegExp]>([
    ['a handler that exits', 'exits', 502, /^RoundTrip failed: [^\n]+\n\nSandbox State: /],
    ['a handler that loops', 'loops', 502, /^RoundTrip failed: /],
    ['a handler that segfaults', 'segfaults', 502, /^RoundTrip failed: /],
    ['a failing import', 'import-fails', 502, /^RoundTrip failed: /],
    ['an import that exits', 'import-exits', 502, /^RoundTrip failed: /],
    ['a package that cannot be imported', 'package-broken', 502, /^RoundTrip failed: /],
    ['a handler that raises', 'raises', 500, /Traceback \(most recent call last\)/],
  ])('%s', async (_title, name, status, body) => {
    await deploy(worker.url, `bad/${name}`);
    const answer = await invoke(worker.url, name, {});
    expect({ status: answer.status, body: answer.body }).toEqual({
      status,
      body: expect.stringMatching(body) as string,
    });
  });

  it.each<[string, string, RegExp]>([
    ['a package whose setup fails', 'setup-fails', /argyle-sample-badsetup==1\.0\.0/],
    ['a package that nobody has', 'package-unknown', /\S/],
    ['a requirement that would leave its directory', 'requirement-escapes', /requirements\.txt|requirement/i],
    ['a requirement that is an option', 'requirement-option', /requirement/i],
    ['a malformed ol.yaml', 'yaml-malformed', /\S/],
    ['an empty ol.yaml', 'yaml-empty', /EOF/],
    ['no entry file', 'no-entry', /cannot determine runtime: no f\.py or f\.bin found in /],
  ])('%s, put into the registry by hand', async (_title, name, body) => {
    const archive = await packLambda(join(__dirname, '../../lambdas/bad', name));
    writeFileSync(join(worker.dir, 'registry', `${name}.tar.gz`), archive);
    const answer = await invoke(worker.url, name, {});
    expect({ status: answer.status, body: answer.body }).toEqual({
      status: 500,
      body: expect.stringMatching(body) as string,
    });
  });

  it('an unknown function, a bad name, a broken archive', async () => {
    expect((await invoke(worker.url, 'nobody', {})).body).toMatch(/^lambda "nobody" not found in blob store /);
    const bad = await invoke(worker.url, 'a%20b', {});
    expect(bad.status).toBe(500);
    expect(bad.body).toBe('invalid function name "a b"; must match ^[A-Za-z0-9\\.\\-\\_]+$\n');
    writeFileSync(join(worker.dir, 'registry', 'broken.tar.gz'), 'this is no archive');
    const broken = await invoke(worker.url, 'broken', {});
    expect(broken.status).toBe(500);
    expect(broken.body.length).toBeGreaterThan(10);
    expect((await upload(worker.url, 'broken2', 'neither is this')).status).not.toBe(201);
  });

  it('leaks nothing of all that', async () => {
    await deploy(worker.url, 'echo');
    expect((await invoke(worker.url, 'echo', 1)).status).toBe(200);
    expect(readdirSync(join(worker.dir, 'lambda/packages')).filter((n) => n.startsWith('.stage'))).toEqual([]);
    const pids = worker.guests().map((p) => p.pid);
    await worker.down();
    await until('gone', () => pids.every((pid) => !existsSync(`/proc/${pid}`)));
    expect(worker.cgroups()).toEqual([]);
    expect(readdirSync(join(worker.dir, 'worker/scratch'))).toEqual([]);
    expect(readdirSync(join(worker.dir, 'worker/code'))).toEqual([]);
  });
});
