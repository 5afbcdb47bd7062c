/** Runs Python with the guest's modules as a package, as loader.py does, without a sandbox. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

/** The built modules and library of the guest. */
export const BUILT = resolve(__dirname, '../../../build/guest');

const PREAMBLE = `
import json, sys
package = type(sys)("_argyle")
package.__path__ = [sys.argv[1]]
sys.modules["_argyle"] = package
`;

/** Runs `script` and returns its JSON output. sys.argv[2:] are `args`. Fails with the script's standard error. */
export function runGuestScript(script: string, args: readonly string[] = [], folder = BUILT): unknown {
  const command = ['-I', '-c', PREAMBLE + script, folder, ...args];
  const { stdout, stderr } = spawnSync('/usr/bin/python3', command, { encoding: 'utf8' });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout);
}
