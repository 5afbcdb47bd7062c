/**
 * Checks of the machine that a worker needs. Each check is one function that returns what it found and how to fix it.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { release } from 'node:os';
import { promisify } from 'node:util';
import { findHelper, guestBeside, libraryBeside } from '../paths';

const run = promisify(execFile);

export interface Finding {
  check: string;
  state: 'ok' | 'warning' | 'failed';
  /** Result in words. */
  found: string;
  /** How to fix the problem; only for warnings and failures. */
  cure?: string;
}

/** The worker that the checks are for. */
export interface Subject {
  /** argyle.helper of the worker's config; '' for the default. */
  helper: string;
  port: string;
  /** Directory of the worker. */
  dir: string;
}

/** Oldest kernel that Argyle is tested on (README.md). */
const KERNEL = [5, 14] as const;
/** Oldest Python that can run the guest's code. */
const PYTHON = [3, 9] as const;
const FREE_MB = 1024;
const PROGRAM_MS = 10_000;
const CONNECT_MS = 1_000;

const ok = (check: string, found: string): Finding => ({ check, state: 'ok', found });
const bad = (check: string, state: 'warning' | 'failed', found: string, cure: string): Finding => ({
  check,
  state,
  found,
  cure,
});

function readNumber(path: string): number | undefined {
  try {
    const value = Number(readFileSync(path, 'utf8').trim());
    return Number.isNaN(value) ? undefined : value;
  } catch {
    return undefined;
  }
}

/** Whether a dotted version number is at least `least`. Pure. */
export function atLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [a = 0, b = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  return a > major || (a === major && b >= minor);
}

export function kernel(version = release()): Finding {
  if (atLeast(version, KERNEL)) return ok('kernel', version);
  return bad('kernel', 'failed', version, `install Linux ${KERNEL.join('.')} or newer`);
}

/** @param mounts text of /proc/self/mounts */
export function cgroups(mounts = readFileSync('/proc/self/mounts', 'utf8')): Finding {
  const types = new Set(mounts.split('\n').map((line) => line.split(' ')[2]));
  const [v1, v2] = [types.has('cgroup'), types.has('cgroup2')];
  if (!v1 && !v2) return bad('cgroups', 'failed', 'not mounted', 'mount cgroup2 at /sys/fs/cgroup, as systemd does');
  const found = v1 && v2 ? 'hybrid: v1 controllers and v2' : v2 ? 'v2' : 'v1';
  return ok('cgroups', found);
}

export function userNamespaces(): Finding {
  const most = readNumber('/proc/sys/user/max_user_namespaces');
  if (most === 0) {
    return bad('user namespaces', 'failed', 'none allowed', 'sysctl user.max_user_namespaces=10000');
  }
  if (!existsSync('/proc/self/ns/user')) {
    return bad('user namespaces', 'failed', 'not in this kernel', 'use a kernel with CONFIG_USER_NS');
  }
  return ok('user namespaces', most === undefined ? 'allowed' : `up to ${most}`);
}

export function helper({ helper: setting }: Subject): Finding {
  const what = 'sandbox helper';
  let path: string;
  try {
    path = findHelper(setting);
  } catch (thrown) {
    return bad(what, 'failed', (thrown as Error).message, 'make build, or make install as root');
  }
  const missing = [guestBeside(path), libraryBeside(path)].find((part) => !existsSync(part));
  if (missing !== undefined) return bad(what, 'failed', `${missing} is missing`, 'make build, or make install as root');
  const { uid, mode } = statSync(path);
  const bits = (mode & 0o7777).toString(8);
  if (process.getuid?.() === 0) return ok(what, `${path} (mode ${bits}; root needs no setuid)`);
  if (uid !== 0 || (mode & 0o4000) === 0) {
    return bad(what, 'failed', `${path} is not setuid root (mode ${bits})`, 'make install as root');
  }
  try {
    accessSync(path, constants.X_OK);
  } catch {
    return bad(what, 'failed', `${path} may not be started by this user`, 'join the group that owns it (argyle)');
  }
  return ok(what, `${path} (mode ${bits})`);
}

async function answerOf(program: string, args: string[]): Promise<string | undefined> {
  try {
    const { stdout } = await run(program, args, { timeout: PROGRAM_MS });
    return stdout.trim();
  } catch {
    return undefined;
  }
}

export async function python(): Promise<Finding> {
  const version = (await answerOf('/usr/bin/python3', ['-V']))?.replace('Python ', '');
  if (version === undefined) return bad('python', 'failed', 'no /usr/bin/python3', 'apt-get install python3');
  if (atLeast(version, PYTHON)) return ok('python', version);
  return bad('python', 'failed', version, `install Python ${PYTHON.join('.')} or newer, or use another base (-i)`);
}

export async function pip(): Promise<Finding> {
  const version = await answerOf('/usr/bin/python3', ['-m', 'pip', '--version']);
  if (version !== undefined) return ok('pip', version.split(' ').slice(0, 2).join(' '));
  return bad('pip', 'warning', 'not there', 'apt-get install python3-pip; without it and uv no packages are installed');
}

export async function uv({ helper: setting }: Subject): Promise<Finding> {
  let path = '';
  try {
    path = `${guestBeside(findHelper(setting))}/uv`;
  } catch {
    // The helper's own check reports this failure.
  }
  const version = path === '' ? undefined : await answerOf(path, ['--version']);
  if (version !== undefined) return ok('uv', version);
  return bad(
    'uv',
    'warning',
    'not beside the guest',
    'make build with PyPI in reach; pip installs packages until then',
  );
}

/** Whether a loopback port has a listener. */
function listens(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: CONNECT_MS });
    const end = (there: boolean) => () => {
      socket.destroy();
      done(there);
    };
    socket.once('connect', end(true)).once('error', end(false)).once('timeout', end(false));
  });
}

export async function port({ port: wanted }: Subject): Promise<Finding> {
  const number = Number(wanted);
  if (!(await listens(number))) return ok('port', `${wanted} is free`);
  const answer = await fetch(`http://127.0.0.1:${wanted}/status`, { signal: AbortSignal.timeout(CONNECT_MS) }).then(
    (said) => said.text(),
    () => '',
  );
  if (answer === 'ready\n') return ok('port', `a worker answers at ${wanted}`);
  return bad('port', 'warning', `another program listens on ${wanted}`, 'set worker_port, or end that program');
}

export function disk({ dir }: Subject): Finding {
  const { bavail, bsize, ffree, files } = statfsSync(dir);
  const freeMb = Math.floor((bavail * bsize) / 2 ** 20);
  const found = `${freeMb} MB free at ${dir}`;
  if (freeMb < FREE_MB) {
    return bad('disk', 'warning', found, `keep ${FREE_MB} MB free: packages, logs and code are written there`);
  }
  if (files > 0 && ffree === 0) return bad('disk', 'failed', `no inodes free at ${dir}`, 'delete files there');
  return ok('disk', found);
}

/** Runs all checks, in the order in which a worker needs their results. */
export async function examine(subject: Subject): Promise<Finding[]> {
  const programs = await Promise.all([python(), pip(), uv(subject), port(subject)]);
  return [kernel(), cgroups(), userNamespaces(), helper(subject), ...programs, disk(subject)];
}
