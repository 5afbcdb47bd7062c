/** One worker with two Pythons: the host's, and Python 3.13 of a Debian root without pip. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { deploy, packLambda } from '../../support/deploy';
import { zygotes } from '../../support/reports';
import { E2eWorker } from '../../support/spawned-worker';
import { startTestMirror, type TestMirror } from '../../support/mirror';
import { describePrivileged } from '../../support/privileged';
import { trixie, whyNoTrixie } from '../../support/trixie';

jest.setTimeout(300_000);

const NEW = 'runtime: python3.13\n';
const CODE = `import sys, argyle_sample_tiny
def f(event):
    return {"python": "%d.%d" % sys.version_info[:2], "from": argyle_sample_tiny.__file__}
`;
const why = whyNoTrixie();

describePrivileged('a worker with two Pythons', () => {
  if (why !== undefined) {
    it.skip(`serves functions for both [optional] (${why})`, () => undefined);
    return;
  }
  let worker: E2eWorker;
  let mirror: TestMirror;

  beforeAll(async () => {
    const root = await trixie();
    mirror = await startTestMirror();
    worker = new E2eWorker({ config: { pip_mirror: mirror.url, registry_cache_ms: 0 } });
    await worker.init();
    const added = await worker.ol('worker', 'base', 'add', `-p=${worker.dir}`, 'python3.13', root);
    expect(added).toMatchObject({ code: 0, out: expect.stringContaining('Added python3.13: Python 3.13') as string });
    await worker.up();
  });
  afterAll(async () => {
    await worker.remove();
    await mirror.close();
  });

  const call = async (name: string) => {
    const answer = await fetch(`${worker.url}/run/${name}`, { method: 'POST', body: '{}' });
    return [answer.status, await answer.text()] as const;
  };
  const packagesOf = (dir: string) =>
    readdirSync(join(worker.dir, dir, 'packages')).filter((name) => !name.startsWith('.'));

  it('lists both Pythons', async () => {
    const { out } = await worker.ol('worker', 'base', 'ls', `-p=${worker.dir}`);
    expect(out).toMatch(/^python3\.\d+ +3\.\d+ .*\/lambda\npython3\.13 +3\.13 .*\/bases\/python3\.13\n$/);
  });

  it('starts no second helper before a function asks for it', () => {
    expect(worker.cgroups().some((path) => path.includes('python3.13'))).toBe(false);
  });

  it('serves functions for both, each with its own packages', async () => {
    const files = { 'f.py': CODE, 'requirements.txt': 'argyle-sample-tiny==1.0.0\n' };
    await deploy(worker.url, { ...files, 'ol.yaml': NEW }, 'new');
    const [status, text] = await call('new');
    expect([status, text]).toEqual([200, expect.stringContaining('"3.13"')]);
    expect(packagesOf('bases/python3.13')).toEqual(['argyle-sample-tiny==1.0.0']);
    expect(packagesOf('lambda')).toEqual([]);

    await deploy(worker.url, files, 'old');
    const old = await call('old');
    expect(old[0]).toBe(200);
    expect(old[1]).not.toMatch('"3.13"');
    expect(packagesOf('lambda')).toEqual(['argyle-sample-tiny==1.0.0']);
    expect(await call('new')).toEqual([status, text]);
  });

  it("forks from the base's own zygotes", async () => {
    const files = { 'f.py': 'import os\ndef f(event):\n    return os.getppid()\n' };
    await deploy(worker.url, { ...files, 'ol.yaml': `${NEW}reuse-sandbox: false\n` }, 'forked');
    for (let n = 0; n < 5; n++) expect((await call('forked'))[0]).toBe(200);
    const forks = (await zygotes(worker.url))
      .filter(({ id }) => id.startsWith('python3.13:'))
      .map((zygote) => zygote.forks);
    expect(forks.reduce((sum, n) => sum + n, 0)).toBeGreaterThan(0);
  });

  it('refuses an unknown name with a list of the known names', async () => {
    const source = { 'f.py': 'def f(event):\n    return 1\n', 'ol.yaml': 'runtime: python3.9\n' };
    const body = await packLambda(source);
    const upload = await fetch(`${worker.url}/registry/odd`, { method: 'POST', body });
    expect(upload.status).toBe(500);
    expect(await upload.text()).toMatch(/runtime "python3\.9".*python3\.\d+, python3\.13/);
    writeFileSync(join(worker.dir, 'registry/odd.tar.gz'), body);
    const [status, text] = await call('odd');
    expect(status).toBeGreaterThanOrEqual(500);
    expect(text).toMatch(/runtime "python3\.9".*python3\.\d+, python3\.13/);
  });

  it('leaves no cgroup when it stops, and the base can be removed', async () => {
    await worker.down();
    expect(worker.cgroups()).toEqual([]);
    const removed = await worker.ol('worker', 'base', 'rm', `-p=${worker.dir}`, 'python3.13');
    expect(removed.code).toBe(0);
    expect(existsSync(join(worker.dir, 'bases/python3.13'))).toBe(false);
  });

  it('accepts a tar file without pip as a base, and installs packages with extras', async () => {
    const file = join(worker.dir, 'trixie.tar');
    execFileSync('tar', ['-cf', file, '-C', await trixie(), '.']);
    const config = JSON.parse(readFileSync(join(worker.dir, 'config.json'), 'utf8')) as { argyle?: object };
    const argyle = { ...config.argyle, bases: { 'python3.13': file } };
    writeFileSync(join(worker.dir, 'config.json'), JSON.stringify({ ...config, argyle }));
    await worker.up();
    const code =
      'import sys, argyle_sample_web, argyle_sample_json\n' +
      'def f(event):\n    return "%d.%d" % sys.version_info[:2]\n';
    const files = { 'f.py': code, 'requirements.txt': 'argyle-sample-web[tables]\n', 'ol.yaml': NEW };
    await deploy(worker.url, files, 'extras');
    expect(await call('extras')).toEqual([200, '"3.13"']);
    expect(packagesOf('bases/python3.13')).toEqual(
      expect.arrayContaining([expect.stringMatching('argyle-sample-frame==')]),
    );
  });
});
