/** Makes a Debian root directory with debootstrap, from the mirror of this machine's apt. */
import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CliError } from '../../command';

const run = promisify(execFile);

const FALLBACK_MIRROR = 'http://deb.debian.org/debian';
/** Time limit, ms. A slow mirror needs several minutes. */
const MAKE_MS = 1_800_000;
/** Python and its trusted certificates. */
const PACKAGES = 'python3,ca-certificates';
const LAST_LINES = 5;

/** The release in `debian:RELEASE`; undefined for any other image. Pure. */
export function debianRelease(image: string): string | undefined {
  return /^debian:([a-z][a-z0-9-]*)$/.exec(image)?.[1];
}

/** Debian's archive among the sites that `apt-get indextargets` prints. Pure. */
export function mirrorOf(sites: string): string {
  const found = sites.split('\n').find((site) => /^https?:\S+\/debian\/?$/.test(site.trim()));
  return found?.trim() ?? FALLBACK_MIRROR;
}

async function aptMirror(): Promise<string> {
  const answer = await run('apt-get', ['indextargets', '--format', '$(SITE)']).catch(() => undefined);
  return mirrorOf(answer?.stdout ?? '');
}

/**
 * Makes `dir`, which must be empty or not exist.
 * @throws CliError that names what is missing, or with debootstrap's last lines
 */
export async function debootstrap(release: string, dir: string): Promise<void> {
  const what = `debian:${release} is made by debootstrap`;
  if (process.getuid?.() !== 0) throw new CliError(`${what}, which needs root: run this command as root`);
  const mirror = await aptMirror();
  const args = ['--variant=minbase', `--include=${PACKAGES}`, release, dir, mirror];
  await run('debootstrap', args, { timeout: MAKE_MS, maxBuffer: 64 << 20 }).catch((thrown: unknown) => {
    const { code, stdout = '', stderr = '', message } = thrown as NodeJS.ErrnoException & Record<string, string>;
    if (code === 'ENOENT') throw new CliError(`${what}, which is not here: apt-get install debootstrap`);
    const said = `${stdout}${stderr}`.trim().split('\n').slice(-LAST_LINES).join('\n');
    throw new CliError(`could not make ${dir} from ${mirror}: ${said === '' ? message : said}`, { cause: thrown });
  });
  for (const left of ['var/cache/apt', 'var/lib/apt/lists', 'var/log']) {
    rmSync(join(dir, left), { recursive: true, force: true });
  }
}
