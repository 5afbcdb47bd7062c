/** Where a worker's sandbox helper is, and what it is told when it starts. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { findHelper, libraryBeside } from '../cli/paths';
import type { Config } from '../config';
import { HelperClient } from '../helper/client';
import { loadHelperConf, type HelperConf } from '../helper/conf';
import { HelperError } from '../helper/errors';
import { loadArgyle, type Argyle } from '../helper/ffi';
import { Code } from '../helper/protocol';
import { helloFields, installNetwork, lambdaNetwork, type SessionSettings } from '../helper/session';
import type { RootLog } from '../log';
import { packageSources, readPipEnv } from '../packages/pip-config';

const SYSTEM_CONF = '/etc/argyle/helper.conf';
const DNS_PORT = 53;
/**
 * A turn of the processor, µs, the shortest that Linux takes. A request goes through several processes, of which each
 * works for less than that and wakes the next; whoever has longer turns, such as threads of the kernel that happen to run
 * there, would keep it waiting for up to a tick of 4 ms (docs/adr/0006).
 */
const SLICE_US = 100;
/** The helper's bound for the whole name is 100 characters, `-sandboxes` and a hash among them. */
const MAX_BASENAME = 60;

/** What every start of the helper needs. */
export interface HelperSetup {
  argyle: Argyle;
  helperPath: string;
  args: string[];
  conf: HelperConf;
}

const isRoot = () => process.getuid?.() === 0;

/**
 * Finds helper, library and helper.conf. A worker that was started as root uses DIR/helper.conf where `ol worker init`
 * wrote one; another user's helper accepts the system's file only.
 * Throws HELPER_START, CONFIG_INVALID.
 */
export function findSetup(config: Config): HelperSetup {
  const helperPath = findHelper(config.argyle.helper);
  const own = join(dirname(config.worker_dir), 'helper.conf');
  const confPath = config.argyle.helper_conf || (isRoot() && existsSync(own) ? own : SYSTEM_CONF);
  return {
    argyle: loadArgyle(libraryBeside(helperPath)),
    helperPath,
    args: isRoot() ? ['--config', confPath] : [],
    conf: loadHelperConf(confPath),
  };
}

/** Names for the worker's cgroup, best first: the contract's, and one for a worker beside another of that name. Pure. */
export function cgroupNames(workerDir: string, base?: string): string[] {
  const dir = dirname(workerDir);
  const name =
    basename(dir)
      .replace(/[^A-Za-z0-9_.-]/g, '_')
      .slice(0, MAX_BASENAME) || 'ol';
  const hash = createHash('sha256')
    .update(base === undefined ? dir : `${dir} ${base}`)
    .digest('hex')
    .slice(0, 8);
  if (base !== undefined) return [`${name}-${base.slice(0, 10)}-${hash}-sandboxes`];
  return [`${name}-sandboxes`, `${name}-${hash}-sandboxes`];
}

/** The base is an almost empty root that lacks a /usr of its own. */
function usesHostUsr(base: string): boolean {
  try {
    return readdirSync(join(base, 'usr')).length === 0;
  } catch {
    return false;
  }
}

/** The name servers of a resolv.conf, as they stand there. Pure. */
export function nameservers(resolvConf: string): string[] {
  return [...resolvConf.matchAll(/^\s*nameserver\s+(\S+)/gm)].map((match) => match[1] ?? '');
}

/**
 * The IPv4 name servers, as endpoints: some are on loopback, such as systemd-resolved's 127.0.0.53, and some clouds'
 * have the address of their metadata service. Pure.
 */
export function dnsEndpoints(resolvConf: string): { host: string; port: number }[] {
  return nameservers(resolvConf)
    .filter((host) => isIPv4(host))
    .map((host) => ({ host, port: DNS_PORT }));
}

/** What installers must reach: name servers of the base, and package sources that a URL names by IPv4 address. Pure. */
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

/** A helper that runs must not be lost because the disk is full: without the file only a clean-up finds less. */
function remember(file: string, name: string, log: Pick<RootLog, 'logger'>): void {
  try {
    if (!existsSync(file) || readFileSync(file, 'utf8') !== name) writeFileSync(file, name);
  } catch (err) {
    log.logger.warn({ err, file }, 'cannot remember the name of the cgroup');
  }
}

/** Remembers the cgroup's name of one base. */
export function nameFileOf(config: Config, base?: string): string {
  return join(config.worker_dir, base === undefined ? 'cgroup.name' : `cgroup.${base}.name`);
}

/**
 * Prepares to start helpers of one worker, for the base `base` of argyle.bases or the worker's own; each call of the result starts one.
 * The name of the cgroup is kept in the worker's directory, so that what a killed worker left is found again.
 */
export async function helperStarter(
  setup: HelperSetup,
  config: Config,
  log: Pick<RootLog, 'tracer' | 'logger'>,
  base?: string,
): Promise<() => Promise<HelperClient>> {
  const refused = setup.argyle.slice(SLICE_US);
  if (refused !== 0) log.tracer('cgroups').debug({ errno: -refused }, 'turns of the processor stay as they are');
  const session = await sessionOf(config);
  const nameFile = nameFileOf(config, base);
  const remembered = existsSync(nameFile) ? [readFileSync(nameFile, 'utf8')] : [];
  let names = remembered.concat(cgroupNames(config.worker_dir, base));
  const startAs = (cgroupName: string) => {
    const settings: SessionSettings = { ...session, cgroupName };
    const { argyle, helperPath, args, conf } = setup;
    const network = [lambdaNetwork(settings), installNetwork(settings)];
    return HelperClient.start({ argyle, helperPath, args, hello: helloFields(conf, settings), network });
  };
  return async () => {
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
