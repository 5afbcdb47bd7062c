/** A root directory of Debian trixie with Python 3.13. debootstrap makes it once; it stays below .state/. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { debootstrap } from '../../src/cli/worker/bases/debootstrap';
import { ROOT } from './ol';

const DIR = join(ROOT, '.state/cache/trixie');
/** Parts that no function needs. Without them, tests copy less. */
const UNUSED = [
  'usr/share/doc',
  'usr/share/man',
  'usr/share/locale',
  'usr/share/zoneinfo',
  'usr/lib/x86_64-linux-gnu/perl-base',
];

/** Why trixie is not available; undefined when the root exists or can be made. */
export function whyNoTrixie(): string | undefined {
  if (existsSync(DIR)) return undefined;
  if (process.getuid?.() !== 0) return 'debootstrap needs root';
  const tool = spawnSync('debootstrap', ['--version']);
  if (tool.status !== 0) return 'debootstrap is not installed';
  const script = `wget -q --spider -T 10 -t 1 "$(apt-get indextargets --format '$(SITE)' | grep -m1 '/debian/\\?$')/dists/trixie/InRelease"`;
  return spawnSync('sh', ['-c', script]).status === 0 ? undefined : 'no mirror of Debian is reachable';
}

/** Path of the root. Makes it first if necessary. */
export async function trixie(): Promise<string> {
  if (existsSync(DIR)) return DIR;
  const draft = `${DIR}.new`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true });
  await debootstrap('trixie', draft);
  for (const path of UNUSED) rmSync(join(draft, path), { recursive: true, force: true });
  renameSync(draft, DIR);
  return DIR;
}
