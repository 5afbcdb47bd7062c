import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { PackageInstaller } from '../../../../src/packages/install/installer';
import { openPackagesDir } from '../../../../src/packages/store/packages-dir';
import { parseRequirements } from '../../../../src/packages/requirements/requirements';
import { LAMBDAS_DIR } from '../../../support/deploy';
import { LocalInstaller } from '../../../support/local-installer';
import { startTestMirror, type TestMirror } from '../../../support/mirror';

jest.setTimeout(60_000);

const examples = readdirSync(LAMBDAS_DIR).filter((name) => name !== 'bad');
const requirementsOf = (name: string): string | undefined => {
  const path = join(LAMBDAS_DIR, name, 'requirements.txt');
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
};

describe('the example functions', () => {
  test.each(examples)('%s pins a version of every package that it requires', (name) => {
    for (const { spec, version } of parseRequirements(requirementsOf(name) ?? '')) {
      expect({ spec, pinned: version !== undefined }).toEqual({ spec, pinned: true });
    }
  });

  test("those with only the project's own packages work with exactly their requirements", async () => {
    const pkgsDir = mkdtempSync(join(tmpdir(), 'argyle-examples-'));
    openPackagesDir(pkgsDir);
    const mirror: TestMirror = await startTestMirror();
    try {
      const options = { pkgsDir, sandbox: new LocalInstaller(pkgsDir), pipMirror: mirror.url };
      const installer = new PackageInstaller({ ...options, pipEnv: () => Promise.resolve({}) });
      const offline = examples.filter((name) =>
        requirementsOf(name)
          ?.split('\n')
          .every((line) => /^(argyle-|$)/.test(line)),
      );
      expect(offline.length).toBeGreaterThanOrEqual(6);
      for (const name of offline) {
        const packages = await installer.ensureInstalled(requirementsOf(name) ?? '');
        const path = packages.map(({ spec }) => join(pkgsDir, spec, 'files')).join(':');
        const script = 'import f; print(f.f({}) if hasattr(f, "f") else f.app)';
        const env = { PYTHONPATH: path, PYTHONDONTWRITEBYTECODE: '1' };
        const cwd = join(LAMBDAS_DIR, name);
        const { stdout } = await promisify(execFile)('/usr/bin/python3', ['-c', script], { cwd, env, timeout: 20_000 });
        expect(stdout.trim()).not.toBe('');
      }
    } finally {
      await mirror.close();
      rmSync(pkgsDir, { recursive: true, force: true });
    }
  });
});
