/** Files outside the configured roots that must not be changed, and a record of their state. */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Fixture } from './fixture';

export class Canary {
  readonly dir: string;
  private readonly before: string;
  private readonly mounts = hostMounts();

  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), 'argyle-canary-'));
    chmodSync(this.dir, 0o755);
    mkdirSync(join(this.dir, 'files'));
    mkdirSync(join(this.dir, 'code'));
    for (const name of ['secret', 'files/a', 'code/f.py']) writeFileSync(join(this.dir, name), `canary ${name}`);
    this.before = this.look();
  }

  /** Owner, mode, size and times of all files. Access times are left out, since reading changes them. */
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

  /**
   * Call this at a test's end. Checks that no cgroup is left and that nothing outside was changed or mounted. Removes
   * the outside files and the fixture.
   */
  verify(fixture: Fixture): void {
    expect(fixture.cgroups()).toEqual([]);
    expect(this.look()).toBe(this.before);
    expect(hostMounts()).toBe(this.mounts);
    this.remove();
    fixture.remove();
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Mounts of the host's namespace. The helper must never add one. */
function hostMounts(): string {
  return readFileSync('/proc/self/mountinfo', 'utf8');
}
