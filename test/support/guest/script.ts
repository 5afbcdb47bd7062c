/** Python that has the guest's modules as a package, as loader.py makes them, without a sandbox around it. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

/** The guest's modules and library, as built. */
export const BUILT = resolve(__dirname, '../../../build/guest');

const PREAMBLE = `
import json, sys
package = type(sys)("_argyle")
package.__path__ = [sys.argv[1]]
sys.modules["_argyle"] = package
`;

/** What `script` prints as JSON; sys.argv[2:] are `args`. Fails with what it prints on standard error instead. */
export function runGuestScript(script: string, args: readonly string[] = [], folder = BUILT): unknown {
  const command = ['-I', '-c', PREAMBLE + script, folder, ...args];
  const { stdout, stderr } = spawnSync('/usr/bin/python3', command, { encoding: 'utf8' });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout);
}
