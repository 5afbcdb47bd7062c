/** What the installer's tests share: a mirror, an empty Pkgs_dir for each test, and real pip without a sandbox. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArgyleError } from '../../src/errors';
import { PackageInstaller, type PackageInstallerOptions, type Pull } from '../../src/packages/installer';
import type { InstallerBoot, InstallerSandbox, InstallResult } from '../../src/sandbox/types';
import { LocalInstaller } from './local-installer';
import { startTestMirror, type TestMirror } from './mirror';

export class PackageFixture {
  mirror!: TestMirror;
  pkgsDir = '';
  sandbox!: LocalInstaller;
  /** What installers made here have reported. */
  pulls: Pull[] = [];

  /** To be called once, outside of any test: registers what runs before and after them. */
  constructor() {
    beforeAll(async () => {
      this.mirror = await startTestMirror();
    }, 120_000);
    afterAll(() => this.mirror.close());
    beforeEach(() => {
      this.pkgsDir = mkdtempSync(join(tmpdir(), 'argyle-packages-'));
      this.sandbox = new LocalInstaller(this.pkgsDir);
      this.pulls = [];
    });
    afterEach(() => {
      rmSync(this.pkgsDir, { recursive: true, force: true });
    });
  }

  /** A new installer, as a worker that has just started has one. */
  installer(options: Partial<PackageInstallerOptions> = {}): PackageInstaller {
    return new PackageInstaller({
      pkgsDir: this.pkgsDir,
      sandbox: this.sandbox,
      pipMirror: this.mirror.url,
      pipEnv: () => Promise.resolve({}),
      tool: 'pip',
      onPull: (pull) => this.pulls.push(pull),
      ...options,
    });
  }

  /** Everything in Pkgs_dir; staging directories would show up here. */
  onDisk(): string[] {
    return readdirSync(this.pkgsDir).sort();
  }

  /** A sandbox whose run() is replaced; `change` may call the real one first. */
  altered(change: (boot: InstallerBoot, stage: string) => Promise<InstallResult>): InstallerSandbox {
    return { run: change, removeTree: (name) => this.sandbox.removeTree(name) };
  }
}

/** The ArgyleError with which a promise rejects; fails the test when it does not. */
export async function failure(promise: Promise<unknown>): Promise<ArgyleError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ArgyleError);
  return error as ArgyleError;
}
