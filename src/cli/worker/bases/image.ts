/** Bases from other sources than the host: a directory, a root filesystem in a tar file, or a container image. */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, lstatSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';
import { CliError } from '../../command';
import { addCaBundle, addHostname, addMountPoints, addResolvConf, makeHostBase } from './base';
import { STOCK_IMAGES } from '../flags';

const run = promisify(execFile);

async function tool(program: string, args: string[], complaint: string): Promise<string> {
  try {
    return (await run(program, args, { maxBuffer: 16 << 20 })).stdout.trim();
  } catch (thrown) {
    const { stderr, message } = thrown as { stderr?: string; message: string };
    const said = (stderr ?? '').trim();
    throw new CliError(`${complaint}: ${said === '' ? message : said}`, { cause: thrown });
  }
}

/** Unpacks a root filesystem. GNU tar keeps owners, modes and absolute links, and does not follow links. */
async function unpack(tarFile: string, baseDir: string): Promise<void> {
  const args = ['-x', '-p', '--numeric-owner', '-f', tarFile, '-C', baseDir];
  // Device nodes need privileges. The helper makes the few that a sandbox may use.
  const devices = ['--exclude=./dev/*', '--exclude=dev/*'];
  await tool('tar', [...devices, ...args], `could not unpack ${tarFile}`);
}

async function exportImage(image: string, baseDir: string): Promise<void> {
  const container = await tool('docker', ['create', '--', image], `could not make a container of image "${image}"`);
  const staging = mkdtempSync(join(tmpdir(), 'ol-image-'));
  try {
    const file = join(staging, 'rootfs.tar');
    await tool('docker', ['export', '-o', file, container], `could not export image "${image}"`);
    await unpack(file, baseDir);
  } finally {
    rmSync(staging, { recursive: true, force: true });
    await run('docker', ['rm', '--', container]).catch(() => undefined);
  }
}

/** Directories of a running or bootable system that sandboxes do not need. */
const NOT_COPIED = new Set(['dev', 'proc', 'sys', 'run']);

/** Copies a root filesystem without the contents of /dev. Devices, pipes and sockets elsewhere are left out, too. */
function copyRoot(from: string, baseDir: string): void {
  const filter = (path: string): boolean => {
    const [top = '', ...below] = relative(from, path).split('/');
    if (below.length > 0 && NOT_COPIED.has(top)) return false;
    const stat = lstatSync(path);
    return stat.isFile() || stat.isDirectory() || stat.isSymbolicLink();
  };
  cpSync(from, baseDir, { recursive: true, verbatimSymlinks: true, filter });
}

/** Adds what every base needs that is not made from the host. */
export function finishBase(baseDir: string, env: NodeJS.ProcessEnv): void {
  addMountPoints(baseDir);
  addResolvConf(baseDir);
  addHostname(baseDir);
  addCaBundle(baseDir, env);
}

/**
 * Makes `baseDir` (must not exist) from the image of `-i`. A path is relative to `cwd`. Removes `baseDir` again on
 * failure.
 * @throws CliError when the image is not available
 */
export async function makeBase(baseDir: string, image: string, cwd: string, env: NodeJS.ProcessEnv): Promise<void> {
  try {
    if (STOCK_IMAGES.includes(image)) {
      makeHostBase(baseDir, env);
      return;
    }
    mkdirSync(baseDir, { recursive: true, mode: 0o755 });
    const path = resolve(cwd, image);
    if (!existsSync(path)) await exportImage(image, baseDir);
    else if (statSync(path).isDirectory()) copyRoot(path, baseDir);
    else await unpack(path, baseDir);
    finishBase(baseDir, env);
  } catch (thrown) {
    rmSync(baseDir, { recursive: true, force: true });
    throw thrown;
  }
}
