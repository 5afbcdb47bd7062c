/** Contract, section 6: requirements.txt and installed packages. The packages are on an index that the suite serves. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { argyleTest, type LiveWorker, localTest, packageTest } from '../../support/contract-target';

const VERSION = 'import argyle_sample_tiny\n\ndef f(event):\n    return argyle_sample_tiny.__version__\n';
const PATH = 'import sys\n\ndef f(event):\n    return [path for path in sys.path if path.startswith("/packages/")]\n';

export function packageStatements(worker: LiveWorker): void {
  let serial = 0;
  const deploy = (requirements: string, code = VERSION) =>
    worker.deploy(`pkg-${++serial}`, { 'f.py': code, 'requirements.txt': requirements });
  const pulls = async () => (await worker.stats())['pull-package.cnt'] ?? 0;
  const packages = () => worker.dir.path('w/lambda/packages');
  /** The specs in Pkgs_dir; undefined for a worker that is not the project's own. */
  const installed = () => (worker.isOurs ? readdirSync(packages()).sort() : undefined);

  packageTest('a package of requirements.txt is installed to Pkgs_dir/<spec>/files and can be imported', async () => {
    const name = await deploy('argyle-sample-tiny==1.0.0\n');
    expect(await worker.invoke(name)).toMatchObject({ status: 200, body: '"1.0.0"' });
    const files = '/packages/argyle-sample-tiny==1.0.0/files/argyle_sample_tiny';
    if (worker.isOurs) expect(existsSync(worker.dir.path(`w/lambda${files}`))).toBe(true);
  });

  packageTest('two versions of a package coexist', async () => {
    const [old, young] = [await deploy('argyle-sample-tiny==1.0.0\n'), await deploy('argyle-sample-tiny==2.0.0\n')];
    expect(await worker.invoke(old)).toMatchObject({ status: 200, body: '"1.0.0"' });
    expect(await worker.invoke(young)).toMatchObject({ status: 200, body: '"2.0.0"' });
    expect(await worker.invoke(old)).toMatchObject({ status: 200, body: '"1.0.0"' });
  });

  packageTest('lines lose spaces and text after `#`; upper case and `_` become lower case and `-`', async () => {
    const name = await deploy('# a comment\n\n  Argyle_Sample_TINY == 1.1.0  # the middle one\n');
    expect(await worker.invoke(name)).toMatchObject({ status: 200, body: '"1.1.0"' });
    expect(installed() ?? ['argyle-sample-tiny==1.1.0']).toContain('argyle-sample-tiny==1.1.0');
  });

  packageTest('each path is inserted at sys.path[0]: the last line of requirements.txt comes first', async () => {
    const name = await deploy('argyle-sample-tiny==1.0.0\nargyle-sample-text==1.1.0\n', PATH);
    expect(JSON.parse((await worker.invoke(name)).body)).toEqual([
      '/packages/argyle-sample-text==1.1.0/files',
      '/packages/argyle-sample-tiny==1.0.0/files',
    ]);
  });

  packageTest('a package is pulled once per worker process: pull-package.cnt', async () => {
    const before = await pulls();
    // The dependencies that the list lacks are installed, too.
    await worker.invoke(await deploy('argyle-sample-threads==1.0.0\n', 'def f(event):\n    return 1\n'));
    expect(await pulls()).toBe(before + 1);
    await worker.invoke(await deploy('argyle-sample-threads==1.0.0\n', 'def f(event):\n    return 1\n'));
    expect(await pulls()).toBe(before + 1);
  });

  localTest('an existing directory counts as installed, and as one pull', async () => {
    const dir = `${packages()}/argyle-by-hand==1/files/by_hand`;
    mkdirSync(dir, { recursive: true });
    const info = `${packages()}/argyle-by-hand==1/files/argyle_by_hand-1.dist-info`;
    mkdirSync(info);
    writeFileSync(`${info}/METADATA`, 'Metadata-Version: 2.1\nName: argyle-by-hand\nVersion: 1\n');
    writeFileSync(`${info}/RECORD`, 'by_hand/__init__.py,,\nargyle_by_hand-1.dist-info/METADATA,,\n');
    writeFileSync(`${dir}/__init__.py`, 'TEXT = "by hand"\n');
    const before = await pulls();
    const name = await deploy('argyle-by-hand==1\n', 'import by_hand\n\ndef f(event):\n    return by_hand.TEXT\n');
    expect(await worker.invoke(name)).toMatchObject({ status: 200, body: '"by hand"' });
    expect(await pulls()).toBe(before + 1);
  });

  localTest('dependencies of a package are not installed for lambdas', async () => {
    const count = () => readdirSync(packages()).filter((name) => name.startsWith('argyle-sample-heavy')).length;
    const name = await deploy('argyle-sample-heavy==1.0.0\n', 'def f(event):\n    return 1\n');
    await worker.invoke(name);
    expect(count()).toBeLessThanOrEqual(1);
  });

  packageTest('a failed install is 500 and leaves nothing that counts as installed', async () => {
    const name = await deploy('argyle-sample-nothing==1.0\n');
    for (let i = 0; i < 2; i++) {
      const { status, body } = await worker.invoke(name);
      expect([status, body.includes('argyle-sample-nothing==1.0')]).toEqual([500, true]);
    }
    expect(installed() ?? []).not.toContain('argyle-sample-nothing==1.0');
  });

  argyleTest.each([
    '../..',
    '--index-url=http://127.0.0.1:1/',
    'http://127.0.0.1/x.whl',
    'a"b',
    "a'b",
    'a;b',
    '.',
    '/etc',
  ])('section 9: the requirement %s is refused, and nothing is deleted or installed', async (line) => {
    const before = installed();
    const source = { 'f.py': VERSION, 'requirements.txt': `${line}\n` };
    const refused = await worker.upload(worker.name('refused'), source);
    expect([refused.status, refused.body]).toEqual([500, expect.stringMatching(/^Failed to add lambda: requirements/)]);
    // Code that entered the registry by another way is refused at its call.
    const { status, body } = await worker.invoke(await worker.place(`pkg-${++serial}`, source));
    expect(status).toBe(500);
    expect(body).toMatch(/^requirements\.txt line 1: ".*" is refused: /);
    expect(installed()).toEqual(before);
  });
}
