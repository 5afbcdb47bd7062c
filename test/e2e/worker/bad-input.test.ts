/** Bad input and bad code over HTTP. Each kind gets its own error, and no file, process or cgroup remains. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { deploy, invoke, packLambda, upload } from '../../support/deploy';
import { E2eWorker, ROOT_ZYGOTE } from '../../support/spawned-worker';
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
        ...ROOT_ZYGOTE,
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
  ])('%s, stored in the registry directly', async (_title, name, body) => {
    const archive = await packLambda(join(__dirname, '../../lambdas/bad', name));
    writeFileSync(join(worker.dir, 'registry', `${name}.tar.gz`), archive);
    const answer = await invoke(worker.url, name, {});
    expect({ status: answer.status, body: answer.body }).toEqual({
      status: 500,
      body: expect.stringMatching(body) as string,
    });
  });

  it('an unknown function, a bad name and a broken archive each get an error', async () => {
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

  const F = { 'f.py': 'def f(event): return event\n' };

  it.each<[string, Record<string, string>, RegExp]>([
    [
      'a NUL in ol.yaml',
      { 'ol.yaml': 'environment: {AA: "x\\0y"}\n' },
      /the environment's "AA", "x\\u0000y", has a NUL/,
    ],
    ['half a character', { 'ol.yaml': 'environment: {AA: "\\uD800"}\n' }, /"AA", "\\ud800", has half of a surrogate/],
    ['a NUL in .env', { '.env': 'AA=1\nAB=\0\n' }, /the environment's "AB", .* has a NUL/],
  ])('an environment that Linux refuses is refused at the upload: %s', async (_title, files, reason) => {
    const answer = await upload(worker.url, 'environment', await packLambda({ ...F, ...files }));
    expect(answer).toMatchObject({ status: 500, body: expect.stringMatching(reason) as string });
  });

  it.each([197, 198, 200])('a name of %i characters runs', async (length) => {
    const name = await deploy(worker.url, F, 'n'.repeat(length));
    expect(await invoke(worker.url, name, 1)).toMatchObject({ status: 200, body: '1' });
  });

  it('the upload reports unknown keys of ol.yaml, each with the most similar known key', async () => {
    const yaml = 'reuse: false\ntriggers: {http: [{method: post}], timer: []}\nx-own: 1\n';
    await deploy(worker.url, { ...F, 'ol.yaml': yaml }, 'unknown-keys');
    const { warnings } = (await (await fetch(`${worker.url}/registry/unknown-keys/install`)).json()) as {
      warnings: string[];
    };
    expect(warnings).toEqual([
      expect.stringMatching(/^ol.yaml: reuse has no effect: the nearest is reuse-sandbox, /),
      expect.stringMatching(
        /^ol.yaml: triggers.timer has no effect: the nearest is triggers\.\w+, all are http, cron, /,
      ),
      expect.stringMatching(/^triggers\.http\[0\]\.method is "post", .* as POST$/),
    ]);
  });

  it('a hash in requirements.txt that matches no archive is refused, and nothing is installed', async () => {
    const spec = 'argyle-sample-tiny==1.1.0';
    const files = { ...F, 'requirements.txt': `${spec} \\\n    --hash=sha256:${'0'.repeat(64)}\n` };
    const answer = await upload(worker.url, 'hashed', await packLambda(files), 'wait');
    expect([answer.status, answer.body]).toEqual([
      500,
      expect.stringMatching(`could not install ${spec}: [^]*Hash mismatch`),
    ]);
    expect(readdirSync(join(worker.dir, 'lambda/packages'))).not.toContain(spec);
  });

  it('all of these requests leave no resource', async () => {
    await deploy(worker.url, 'echo');
    expect((await invoke(worker.url, 'echo', 1)).status).toBe(200);
    expect(readdirSync(join(worker.dir, 'lambda/packages')).filter((n) => n.startsWith('.stage'))).toEqual([]);
    const pids = worker.guests().map((p) => p.pid);
    await worker.down();
    await until('gone', () => pids.every((pid) => !existsSync(`/proc/${pid}`)));
    expect(worker.cgroups()).toEqual([]);
    expect(readdirSync(join(worker.dir, 'worker/scratch'))).toEqual([]);
    // Views of package sets stay until the worker ends. There is one view for the empty set.
    const code = readdirSync(join(worker.dir, 'worker/code')).filter((name) => !/^packages-[0-9a-f]{32}$/.test(name));
    expect(code).toEqual([]);
  });
});
