/** Shared fixture of the installer's tests: a mirror, an empty Pkgs_dir per test, and real pip without a sandbox. */
import { lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ArgyleError } from '../../src/errors';
import { PackageInstaller, type PackageInstallerOptions, type Pull } from '../../src/packages/install/installer';
import { openPackagesDir, storeOf } from '../../src/packages/store/packages-dir';
import type { InstallerBoot, InstallerSandbox, InstallResult } from '../../src/sandbox/types';
import { LocalInstaller } from './local-installer';
import { startTestMirror, type TestMirror } from './mirror';

export class PackageFixture {
  mirror!: TestMirror;
  pkgsDir = '';
  sandbox!: LocalInstaller;
  /** Reported pulls of all installers of this fixture. */
  pulls: Pull[] = [];

  /** Registers beforeAll and afterAll hooks. Call it once, outside of any test. */
  constructor() {
    beforeAll(async () => {
      this.mirror = await startTestMirror();
    }, 120_000);
    afterAll(() => this.mirror.close());
    beforeEach(() => {
      this.pkgsDir = mkdtempSync(join(tmpdir(), 'argyle-packages-'));
      openPackagesDir(this.pkgsDir);
      this.sandbox = new LocalInstaller(this.pkgsDir);
      this.pulls = [];
    });
    afterEach(() => {
      rmSync(this.pkgsDir, { recursive: true, force: true });
    });
  }

  /** A new installer, in the state after a worker's start. */
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

  /**
   * All entries of Pkgs_dir except the store, which has one place per package. Left-over staging directories appear
   * here.
   */
  onDisk(): string[] {
    const names = readdirSync(this.pkgsDir).filter((name) => name !== '.store');
    expect(readdirSync(storeOf(this.pkgsDir))).toHaveLength(names.filter((name) => this.isLink(name)).length);
    return names.sort();
  }

  private isLink(name: string): boolean {
    return lstatSync(join(this.pkgsDir, name)).isSymbolicLink();
  }

  /** A sandbox with a replaced run(). `change` may call the real one first. */
  altered(change: (boot: InstallerBoot, stage: string) => Promise<InstallResult>): InstallerSandbox {
    return { run: change, removeTree: (name) => this.sandbox.removeTree(name) };
  }
}

/** The ArgyleError of a rejected promise. Fails the test when the promise resolves. */
export async function failure(promise: Promise<unknown>): Promise<ArgyleError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ArgyleError);
  return error as ArgyleError;
}
