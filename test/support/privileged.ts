/** Guards of tests that need root or a tool: a laptop may skip them, ARGYLE_MUST_WORK=1 may not. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const MUST_WORK = process.env['ARGYLE_MUST_WORK'] === '1';

function has(tool: string): boolean {
  try {
    execFileSync('/bin/sh', ['-c', `command -v ${tool}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Why privileged tests cannot run here, or undefined. */
export function whyNotPrivileged(tools: readonly string[] = []): string | undefined {
  if (process.getuid?.() !== 0) return 'root is needed';
  if (!existsSync('/sys/fs/cgroup')) return 'no cgroups';
  const missing = ['cc', 'setpriv', 'prlimit', 'unshare', ...tools].find((tool) => !has(tool));
  return missing === undefined ? undefined : `${missing} is not installed`;
}

/**
 * `describe` for tests of the real helper. They are skipped without root or one of `tools`; with ARGYLE_MUST_WORK=1
 * they run and fail then, because a skipped test shows nothing.
 */
export function describePrivileged(name: string, body: () => void, tools: readonly string[] = []): void {
  const why = whyNotPrivileged(tools);
  if (why === undefined || MUST_WORK) describe(name, body);
  else describe.skip(`${name} (${why})`, body);
}
