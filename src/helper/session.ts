/** The settings of one helper session, turned into the fields of AG_HELLO and AG_NETWORK. */
import { isIPv4 } from 'node:net';
import { ArgyleError } from '../errors';
import { ruleFields, type NetworkRules } from './network';
import { rootedPath, type HelperConf } from './conf';
import { Flag, Network, Pool, type RequestFields } from './protocol';

export interface SessionSettings {
  /** Absolute `<worker_dir>`. */
  workerDir: string;
  /** Absolute `Pkgs_dir`. */
  packagesDir: string;
  /** Absolute base directory, normally `DIR/lambda`. */
  baseDir: string;
  /** Name of the cgroup that holds the pools, e.g. `default-ol-sandboxes`. */
  cgroupName: string;
  /** The base's /usr is the host's own, read-only. */
  hostUsr: boolean;
  /** features.enable_seccomp; false works for root callers only. */
  seccomp: boolean;
  network: 'outbound' | 'none' | 'host';
  /** What `outbound` refuses and lets pass beside its defaults; none of it when left out. */
  rules?: NetworkRules;
  /** Endpoints that stay reachable for installers whatever is refused, such as a pip mirror on this host. */
  installerEndpoints: readonly { host: string; port: number }[];
  /** Endpoints that stay reachable for lambdas too: the DNS servers of their base. */
  lambdaEndpoints?: readonly { host: string; port: number }[];
}

/** @throws ArgyleError HELPER_DENIED when a directory lies below no root. */
export function helloFields(conf: HelperConf, settings: SessionSettings): RequestFields {
  const worker = rootedPath(conf, 'worker_dir', settings.workerDir);
  const packages = rootedPath(conf, 'Pkgs_dir', settings.packagesDir);
  const base = rootedPath(conf, 'sock_base_path', settings.baseDir);
  return {
    flags: (settings.hostUsr ? Flag.HOST_USR : 0) | (settings.seccomp ? 0 : Flag.NO_SECCOMP),
    arg: [worker.index, packages.index, base.index],
    name: [worker.path, packages.path, base.path, settings.cgroupName],
  };
}

/** An IPv4 endpoint as `ipv4 << 16 | port`. @throws ArgyleError CONFIG_INVALID for anything else. */
export function packEndpoint(host: string, port: number): number {
  if (!isIPv4(host) || !Number.isInteger(port) || port < 1 || port > 65535) {
    throw new ArgyleError('CONFIG_INVALID', `endpoint "${host}:${port}" is not an IPv4 address and port`, {
      field: 'pip_mirror',
      value: `${host}:${port}`,
    });
  }
  const ipv4 = host.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0);
  return ipv4 * 65536 + port;
}

/** What AG_RULE and then AG_NETWORK say of one pool. */
export interface PoolNetwork {
  rules: readonly RequestFields[];
  network: RequestFields;
}

type Endpoints = readonly { host: string; port: number }[];

/** The helper takes six endpoints; a resolv.conf has three name servers at most. */
function poolNetwork(pool: number, mode: number, endpoints: Endpoints, rules?: NetworkRules): PoolNetwork {
  const packed = endpoints.slice(0, 6).map(({ host, port }) => packEndpoint(host, port));
  return {
    rules: mode === Network.OUTBOUND ? ruleFields(pool, rules ?? { deny: [], allow: [] }) : [],
    network: { arg: [mode, pool, ...packed] },
  };
}

export function lambdaNetwork(settings: SessionSettings): PoolNetwork {
  return poolNetwork(Pool.LAMBDA, modeOf(settings.network), settings.lambdaEndpoints ?? [], settings.rules);
}

/** Installers get `outbound` whatever lambdas have, unless the whole host network is allowed. */
export function installNetwork(settings: SessionSettings): PoolNetwork {
  const mode = settings.network === 'host' ? Network.HOST : Network.OUTBOUND;
  return poolNetwork(Pool.INSTALL, mode, settings.installerEndpoints, settings.rules);
}

function modeOf(network: SessionSettings['network']): number {
  return { outbound: Network.OUTBOUND, none: Network.NONE, host: Network.HOST }[network];
}
