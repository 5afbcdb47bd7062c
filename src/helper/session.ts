/** Converts the settings of one helper session to the fields of AG_HELLO and AG_NETWORK. */
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
  /** Name of the cgroup with the pools, e.g. `default-ol-sandboxes`. */
  cgroupName: string;
  /** Whether the base's /usr is the host's own, read-only. */
  hostUsr: boolean;
  /** features.enable_seccomp. False works only when root is the caller. */
  seccomp: boolean;
  network: 'outbound' | 'none' | 'host';
  /** Rules of `outbound` on top of the defaults. Undefined: only the defaults. */
  rules?: NetworkRules;
  /** Endpoints that installers can always reach, e.g. a pip mirror on this host. */
  installerEndpoints: readonly { host: string; port: number }[];
  /** Endpoints that lambdas can always reach: the DNS servers of their base. */
  lambdaEndpoints?: readonly { host: string; port: number }[];
}

/** @throws ArgyleError HELPER_DENIED when no root contains a directory */
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

/** Packs an IPv4 endpoint as `ipv4 << 16 | port`. @throws ArgyleError CONFIG_INVALID for any other endpoint */
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

/** Fields of AG_RULE and AG_NETWORK for one pool. */
export interface PoolNetwork {
  rules: readonly RequestFields[];
  network: RequestFields;
}

type Endpoints = readonly { host: string; port: number }[];

/** The helper accepts six endpoints. A resolv.conf has at most three name servers. */
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

/** Installers always get `outbound`, unless the settings give sandboxes the host's network. */
export function installNetwork(settings: SessionSettings): PoolNetwork {
  const mode = settings.network === 'host' ? Network.HOST : Network.OUTBOUND;
  return poolNetwork(Pool.INSTALL, mode, settings.installerEndpoints, settings.rules);
}

function modeOf(network: SessionSettings['network']): number {
  return { outbound: Network.OUTBOUND, none: Network.NONE, host: Network.HOST }[network];
}
