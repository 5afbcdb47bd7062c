/** Node 24, in addition to the Node that runs the tests. npm fetches it once; it stays below .state/. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './ol';

const DIR = join(ROOT, '.state/cache/node24');
const PROGRAM = join(DIR, 'node_modules/node/bin/node');
const FETCH_MS = 120_000;

/** Whether Node 24 runs on this machine. The registry may lack a package for the platform. */
function runs(): boolean {
  const { status, stdout } = spawnSync(PROGRAM, ['--version'], { encoding: 'utf8' });
  return status === 0 && stdout.startsWith('v24.');
}

/** Path of a Node 24, or the reason why there is none. */
export function findNode24(): { node: string } | { why: string } {
  if (existsSync(PROGRAM) && runs()) return { node: PROGRAM };
  mkdirSync(DIR, { recursive: true });
  writeFileSync(join(DIR, 'package.json'), '{"private":true}');
  const args = ['install', '--no-audit', '--no-fund', '--prefix', DIR, 'node@24'];
  const { status, stderr } = spawnSync('npm', args, { encoding: 'utf8', timeout: FETCH_MS });
  if (status === 0 && runs()) return { node: PROGRAM };
  return { why: `npm has no node@24 for this machine: ${stderr.trim().split('\n').at(-1) ?? 'it took too long'}` };
}
