/** `ol doctor`: finds what keeps this machine from running a worker, and how to fix it. */
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { JSON_FLAG } from '../ask';
import { EXIT, type Command, type CommandContext } from '../command';
import { olDirOf, PATH_FLAG } from '../worker/flags';
import { lenientConfig } from '../worker/process/stop';
import { examine } from './checks';

const MARKS = { ok: 'ok     ', warning: 'warning', failed: 'FAILED ' } as const;

async function run({ flags, cwd, out }: CommandContext): Promise<number> {
  let dir = olDirOf(cwd, flags.string('path'));
  const { config, port } = lenientConfig(dir);
  // If the worker directory does not exist, its nearest existing parent is checked.
  while (!existsSync(dir)) dir = dirname(dir);
  const findings = await examine({ helper: config?.argyle.helper ?? '', port, dir });
  if (flags.bool('json')) out(`${JSON.stringify(findings)}\n`);
  else {
    const width = Math.max(...findings.map(({ check }) => check.length));
    for (const { check, state, found, cure } of findings) {
      out(`${MARKS[state]}  ${check.padEnd(width)}  ${found}\n`);
      if (cure !== undefined) out(`${' '.repeat(MARKS.ok.length + width + 4)}cure: ${cure}\n`);
    }
  }
  return findings.some(({ state }) => state === 'failed') ? EXIT.error : EXIT.ok;
}

export const doctorCommand: Command = {
  name: 'doctor',
  usage: 'check what a worker needs of this machine',
  flags: [PATH_FLAG, JSON_FLAG],
  interspersed: true,
  run,
};
