/** Finds a worker's sandbox helper, and makes the settings of its start. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { findHelper, libraryBeside } from '../../cli/paths';
import type { Config } from '../../config';
import { homeOf, SECOND_PLACE } from '../../config/places';
import { HelperClient } from '../../helper/client';
import { loadHelperConf, type HelperConf } from '../../helper/conf';
import { HelperError } from '../../helper/errors';
import { loadArgyle, type Argyle } from '../../helper/ffi';
import { Code } from '../../helper/protocol';
import { helloFields, installNetwork, lambdaNetwork, type SessionSettings } from '../../helper/session';
import type { RootLog } from '../../log';
import { openPackagesDir } from '../../packages/store/packages-dir';
import { packageSources, readPipEnv } from '../../packages/install/pip-config';

const SYSTEM_CONF = '/etc/argyle/helper.conf';
const DNS_PORT = 53;
/**
 * Scheduler slice in µs: the shortest that Linux accepts. A request passes through several processes; each runs for
 * less than 100 µs and wakes the next one. A process with a short slice preempts one with a longer slice, such as a
 * kernel thread, when it wakes up. With equal slices it would wait for up to a tick of 4 ms (docs/adr/0006).
 */
const SLICE_US = 100;
/**
 * Longest base name in characters. The helper accepts 100 characters for the whole name, including `-sandboxes` and a
 * hash.
 */
const MAX_BASENAME = 60;

/** The parts that every start of the helper needs. */
export interface HelperSetup {
  argyle: Argyle;
  helperPath: string;
  args: string[];
  conf: HelperConf;
}

const isRoot = () => process.getuid?.() === 0;

/**
 * Finds helper, library and helper.conf. A worker that root started uses DIR/helper.conf if `ol worker init` wrote one.
 * The helper of another user accepts only the system's file.
 * @throws ArgyleError HELPER_START, CONFIG_INVALID
 */
export function findSetup(config: Config): HelperSetup {
  const helperPath = findHelper(config.argyle.helper);
  const own = join(dirname(homeOf(config)), 'helper.conf');
  const confPath = config.argyle.helper_conf || (isRoot() && existsSync(own) ? own : SYSTEM_CONF);
  return {
    argyle: loadArgyle(libraryBeside(helperPath)),
    helperPath,
    args: isRoot() ? ['--config', confPath] : [],
    conf: loadHelperConf(confPath),
  };
}

/**
 * Names for the worker's cgroup, best first: the contract's name, then the name to use when another worker has the
 * contract's name. Pure.
 * @param second true for a worker in the second place of worker_dir (config/places.ts)
 */
export function cgroupNames(workerDir: string, base?: string, second = false): string[] {
  const dir = dirname(workerDir);
  const name =
    basename(dir)
      .replace(/[^A-Za-z0-9_.-]/g, '_')
      .slice(0, MAX_BASENAME) || 'ol';
  const hash = createHash('sha256')
    .update([dir, ...(base === undefined ? [] : [base]), ...(second ? ['', SECOND_PLACE] : [])].join(' '))
    .digest('hex')
    .slice(0, 8);
  if (base !== undefined) return [`${name}-${base.slice(0, 10)}-${hash}-sandboxes`];
  const own = `${name}-${hash}-sandboxes`;
  return second ? [own] : [`${name}-sandboxes`, own];
}

/** Whether the base is an almost empty root directory without a /usr of its own. */
function usesHostUsr(base: string): boolean {
  try {
    return readdirSync(join(base, 'usr')).length === 0;
  } catch {
    return false;
  }
}

/** The name servers of a resolv.conf, unchanged. Pure. */
export function nameservers(resolvConf: string): string[] {
  return [...resolvConf.matchAll(/^\s*nameserver\s+(\S+)/gm)].map((match) => match[1] ?? '');
}

/**
 * The IPv4 name servers as endpoints. Without these endpoints `outbound` would refuse some of them: loopback
 * addresses, such as systemd-resolved's 127.0.0.53, and the metadata address of some clouds. Pure.
 */
export function dnsEndpoints(resolvConf: string): { host: string; port: number }[] {
  return nameservers(resolvConf)
    .filter((host) => isIPv4(host))
    .map((host) => ({ host, port: DNS_PORT }));
}

/**
 * The endpoints that installers must reach: name servers of the base, and package sources whose URL has an IPv4
 * address. Pure.
 */
export function installerEndpoints(resolvConf: string, sources: readonly URL[]): { host: string; port: number }[] {
  const local = sources
    .map((url) => ({
      host: url.hostname === 'localhost' ? '127.0.0.1' : url.hostname,
      port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
    }))
    .filter(({ host }) => isIPv4(host));
  return [...dnsEndpoints(resolvConf), ...local];
}

async function sessionOf(config: Config): Promise<Omit<SessionSettings, 'cgroupName'>> {
  const base = config.sock_base_path;
  const resolv = join(base, 'etc/resolv.conf');
  const resolvConf = existsSync(resolv) ? readFileSync(resolv, 'utf8') : '';
  const env = { ...(await readPipEnv()), ...(config.pip_mirror === '' ? {} : { PIP_INDEX_URL: config.pip_mirror }) };
  return {
    workerDir: config.worker_dir,
    packagesDir: config.Pkgs_dir,
    baseDir: base,
    hostUsr: usesHostUsr(base),
    seccomp: config.features.enable_seccomp,
    network: config.argyle.network,
    installerEndpoints: installerEndpoints(resolvConf, packageSources(env)),
    lambdaEndpoints: dnsEndpoints(resolvConf),
    rules: {
      deny: config.argyle.network_deny,
      allow: config.argyle.network_allow,
      nameservers: nameservers(resolvConf),
    },
  };
}

const isNameTaken = (error: unknown) =>
  error instanceof HelperError && error.agCode === Code.STATE && error.field === 'HELLO';

/**
 * Writes the cgroup's name to a file. An error is only logged, because a full disk must not end a running helper.
 * Without the file, a later clean-up may not find the cgroup.
 */
function remember(file: string, name: string, log: Pick<RootLog, 'logger'>): void {
  try {
    if (!existsSync(file) || readFileSync(file, 'utf8') !== name) writeFileSync(file, name);
  } catch (err) {
    log.logger.warn({ err, file }, 'cannot remember the name of the cgroup');
  }
}

/** Path of the file that keeps the cgroup's name of one base. */
export function nameFileOf(config: Config, base?: string): string {
  return join(config.worker_dir, base === undefined ? 'cgroup.name' : `cgroup.${base}.name`);
}

/**
 * Prepares the starts of one worker's helpers. Each call of the result starts one helper. The worker's directory keeps
 * the name of the cgroup, so that the next start finds the processes and cgroups of a killed worker.
 * @param base name of a base of argyle.bases; undefined for the worker's own
 */
export async function helperStarter(
  setup: HelperSetup,
  config: Config,
  log: Pick<RootLog, 'tracer' | 'logger'>,
  base?: string,
): Promise<() => Promise<HelperClient>> {
  const refused = setup.argyle.setSchedSlice(SLICE_US);
  if (refused !== 0) log.tracer('cgroups').debug({ errno: -refused }, 'turns of the processor stay as they are');
  const session = await sessionOf(config);
  const nameFile = nameFileOf(config, base);
  const remembered = existsSync(nameFile) ? [readFileSync(nameFile, 'utf8')] : [];
  let names = remembered.concat(cgroupNames(homeOf(config), base, config.home !== undefined));
  const startAs = (cgroupName: string) => {
    const settings: SessionSettings = { ...session, cgroupName };
    const { argyle, helperPath, args, conf } = setup;
    const network = [lambdaNetwork(settings), installNetwork(settings)];
    return HelperClient.start({ argyle, helperPath, args, hello: helloFields(conf, settings), network });
  };
  return async () => {
    openPackagesDir(config.Pkgs_dir);
    for (const [i, name] of names.entries()) {
      try {
        const client = await startAs(name);
        names = [name];
        remember(nameFile, name, log);
        log.tracer('cgroups').debug({ pid: client.pid, cgroup: name }, 'sandbox helper is ready');
        return client;
      } catch (error) {
        if (!isNameTaken(error) || i === names.length - 1) throw error;
      }
    }
    throw new Error('unreachable: names is never empty');
  };
}
