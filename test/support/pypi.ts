/** Whether PyPI is reachable. Suites that need real packages are skipped without it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A small package without dependencies, to test whether the index answers. */
const PROBE = 'idna==3.10';
const TIMEOUT_SEC = 20;

let reached: boolean | undefined;

/** Checks once per process whether the package index serves a small wheel, with the host's pip configuration. */
export function pypiReached(): boolean {
  if (reached !== undefined) return reached;
  const dir = mkdtempSync(join(tmpdir(), 'argyle-pypi-'));
  const args = ['-m', 'pip', 'download', '-q', '--no-deps', '--no-cache-dir', '--retries', '0', '--timeout', '5'];
  const result = spawnSync('/usr/bin/python3', [...args, '-d', dir, PROBE], {
    stdio: 'ignore',
    timeout: TIMEOUT_SEC * 1000,
  });
  rmSync(dir, { recursive: true, force: true });
  reached = result.status === 0;
  return reached;
}
