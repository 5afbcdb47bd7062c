/** Files outside the configured roots that nothing may touch, and what they looked like. */
import { execFileSync } from 'node:child_process';
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export class Canary {
  readonly dir: string;
  private readonly before: string;

  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), 'argyle-canary-'));
    chmodSync(this.dir, 0o755);
    mkdirSync(join(this.dir, 'files'));
    mkdirSync(join(this.dir, 'code'));
    for (const name of ['secret', 'files/a', 'code/f.py']) writeFileSync(join(this.dir, name), `canary ${name}`);
    this.before = this.look();
  }

  /** Owner, mode, size and times of all; access times are left out, as looking changes them. */
  look(): string {
    const lines: string[] = [];
    const walk = (path: string): void => {
      const st = lstatSync(path);
      lines.push(`${path} ${st.uid}:${st.gid} ${st.mode.toString(8)} ${st.size} ${st.mtimeMs} ${st.ctimeMs}`);
      if (st.isDirectory()) for (const name of readdirSync(path).sort()) walk(join(path, name));
    };
    walk(this.dir);
    return lines.join('\n');
  }

  /** The same string twice when nothing was touched, for expect(…).toBe(…). */
  compare(): [string, string] {
    return [this.look(), this.before];
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Mounts of the host's namespace; the helper must never add one. */
export const hostMounts = (): string => execFileSync('cat', ['/proc/self/mountinfo'], { encoding: 'utf8' });
