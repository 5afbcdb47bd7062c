/** Whether real packages can be had here: suites that need them skip where they cannot. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A few kilobytes, no dependencies: what is asked for to see whether the index answers. */
const PROBE = 'idna==3.10';
const TIMEOUT_SEC = 20;

let reached: boolean | undefined;

/** Asks once per process, with the host's pip configuration, whether its package index serves a small wheel. */
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
