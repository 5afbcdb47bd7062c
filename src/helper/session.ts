/** The settings of one helper session, turned into the fields of AG_HELLO and AG_NETWORK. */
import { ArgyleError } from '../errors';
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
  /** Loopback endpoints that stay reachable for installers, such as a pip mirror on this host. */
  installerEndpoints: readonly { host: string; port: number }[];
  /** Loopback endpoints that stay reachable for lambdas too: this host's own DNS server, where it has one. */
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

/** An IPv4 loopback endpoint as `ipv4 << 16 | port`. @throws ArgyleError CONFIG_INVALID for anything else. */
export function packEndpoint(host: string, port: number): number {
  const octets = host.split('.').map(Number);
  const bad = octets.length !== 4 || octets.some((octet) => !Number.isInteger(octet) || octet < 0 || octet > 255);
  if (bad || octets[0] !== 127 || !Number.isInteger(port) || port < 1 || port > 65535) {
    throw new ArgyleError('CONFIG_INVALID', `endpoint "${host}:${port}" is not an IPv4 loopback address and port`, {
      field: 'pip_mirror',
      value: `${host}:${port}`,
    });
  }
  const ipv4 = octets.reduce((sum, octet) => sum * 256 + octet, 0);
  return ipv4 * 65536 + port;
}

/** AG_NETWORK takes one pool at a time: this is the lambda pool's. */
export function lambdaNetwork(settings: SessionSettings): RequestFields {
  const endpoints = (settings.lambdaEndpoints ?? []).slice(0, 6).map(({ host, port }) => packEndpoint(host, port));
  return { arg: [modeOf(settings.network), Pool.LAMBDA, ...endpoints] };
}

/** Installers get `outbound` whatever lambdas have, unless the whole host network is allowed. */
export function installNetwork(settings: SessionSettings): RequestFields {
  const mode = settings.network === 'host' ? Network.HOST : Network.OUTBOUND;
  const endpoints = settings.installerEndpoints.slice(0, 6).map(({ host, port }) => packEndpoint(host, port));
  return { arg: [mode, Pool.INSTALL, ...endpoints] };
}

function modeOf(network: SessionSettings['network']): number {
  return { outbound: Network.OUTBOUND, none: Network.NONE, host: Network.HOST }[network];
}
