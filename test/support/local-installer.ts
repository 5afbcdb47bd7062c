/** Runs real pip as the worker's user: the installer sandbox's work without a sandbox. For unit tests only. */
import { spawn } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { InstallerBoot, InstallerSandbox, InstallResult } from '../../src/sandbox/types';

export class LocalInstaller implements InstallerSandbox {
  /** All boot documents so far. */
  readonly boots: InstallerBoot[] = [];
  readonly removed: string[] = [];
  /** Highest number of concurrent calls of run(). */
  mostAtOnce = 0;
  private running = 0;

  constructor(private readonly pkgsDir: string) {}

  async run(boot: InstallerBoot, stagingName: string): Promise<InstallResult> {
    this.boots.push(boot);
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.running);
    try {
      return await this.python(boot, stagingName);
    } finally {
      this.running--;
    }
  }

  async removeTree(name: string): Promise<void> {
    this.removed.push(name);
    await rm(join(this.pkgsDir, name), { recursive: true, force: true });
  }

  private async python(boot: InstallerBoot, stagingName: string): Promise<InstallResult> {
    const here = (path: string): string =>
      path.replace(/^\/(host|tmp)/, join(this.pkgsDir, stagingName)).replace(/^\/packages/, this.pkgsDir);
    for (const [path, content] of Object.entries(boot.files ?? {})) await writeFile(here(path), content);
    const child = spawn('/usr/bin/python3', [join(__dirname, 'local_installer.py')], {
      env: { ...boot.env, PATH: '/usr/bin:/bin', TMPDIR: here(boot.env['TMPDIR'] ?? '/tmp') },
      stdio: ['pipe', 'pipe', 'inherit'],
      timeout: 60_000,
    });
    child.stdin.end(JSON.stringify({ ...boot, argv: boot.argv.map(here), target: here(boot.target) }));
    return JSON.parse(await text(child.stdout)) as InstallResult;
  }
}
