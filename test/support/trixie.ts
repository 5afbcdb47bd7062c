/** A root directory of Debian trixie, whose Python is 3.13: made once by debootstrap, and kept below .state/. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { debootstrap } from '../../src/cli/worker/debootstrap';
import { ROOT } from './ol';

const DIR = join(ROOT, '.state/cache/trixie');
/** What no function needs, so that tests copy less. */
const UNUSED = [
  'usr/share/doc',
  'usr/share/man',
  'usr/share/locale',
  'usr/share/zoneinfo',
  'usr/lib/x86_64-linux-gnu/perl-base',
];

/** Why there can be none here; undefined when it is there or can be made. */
export function whyNoTrixie(): string | undefined {
  if (existsSync(DIR)) return undefined;
  if (process.getuid?.() !== 0) return 'debootstrap needs root';
  const tool = spawnSync('debootstrap', ['--version']);
  if (tool.status !== 0) return 'debootstrap is not installed';
  const script = `wget -q --spider -T 10 -t 1 "$(apt-get indextargets --format '$(SITE)' | grep -m1 '/debian/\\?$')/dists/trixie/InRelease"`;
  return spawnSync('sh', ['-c', script]).status === 0 ? undefined : 'no mirror of Debian is reachable';
}

/** The root, made when it is not there yet. */
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
