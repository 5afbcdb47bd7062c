/** Guards of tests that need root or a tool. They may be skipped, but not with ARGYLE_MUST_WORK=1. */
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

/** Why privileged tests cannot run on this machine; undefined when they can. */
export function whyNotPrivileged(tools: readonly string[] = []): string | undefined {
  if (process.getuid?.() !== 0) return 'root is needed';
  if (!existsSync('/sys/fs/cgroup')) return 'no cgroups';
  const missing = ['cc', 'setpriv', 'prlimit', 'unshare', ...tools].find((tool) => !has(tool));
  return missing === undefined ? undefined : `${missing} is not installed`;
}

/**
 * `describe` for tests of the real helper. Without root or one of `tools`, they are skipped. With ARGYLE_MUST_WORK=1
 * they run and fail instead, since a skipped test proves nothing.
 */
export function describePrivileged(name: string, body: () => void, tools: readonly string[] = []): void {
  const why = whyNotPrivileged(tools);
  if (why === undefined || MUST_WORK) describe(name, body);
  else describe.skip(`${name} (${why})`, body);
}
