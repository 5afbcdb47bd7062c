/** Builds the options of a container. Pure. */
import { MEGABYTE } from '../slot/limits';
import type { SandboxLimits } from '../types';
import { STORE } from '../slot/views';
import type { ContainerOptions, LimitOptions, MountOptions } from './api';
import { WORKER_LABEL } from './engine';

/** Settings common to all containers of a worker. */
export interface ContainerSettings {
  /** docker.base_image. */
  image: string;
  /** docker.runtime; '' for the engine's default. */
  runtime: string;
  /** config.worker_dir: the value of the containers' label. */
  workerDir: string;
  /** Host directory of the guest's files, for /runtime. */
  guestDir: string;
  /** Host directory of the package store, for /runtime/store. */
  storeDir: string;
}

export interface ContainerRequest {
  role: 'leaf' | 'installer';
  limits: SandboxLimits;
  /** Host path of the socket on which the worker waits for the guest. */
  socketPath: string;
  /** The engine's name of a network mode: `bridge`, `none`, `host`. */
  network: string;
  user: { uid: number; gid: number };
  /** Host directory for /handler, read-only. */
  codeDir?: string;
  /** Host directory for /packages, read-only. */
  viewDir?: string;
  /** Host directory for /host, writable; when absent, /host is a tmpfs. */
  hostDir?: string;
}

const SOCKET = '/run/argyle.sock';
/** Length of a CPU quota's period, µs; the kernel's default. */
const CPU_PERIOD_US = 100_000;
const US_PER_PERCENT = CPU_PERIOD_US / 100;
/** The engine's value for no limit. */
const UNLIMITED = -1;
/** The environment of a slot's guest; the image's own variables are kept in addition. */
const ENVIRONMENT = ['PATH=/usr/local/bin:/usr/bin:/bin', 'HOME=/tmp', 'TMPDIR=/tmp', 'LANG=C.UTF-8'];

function limitSettings(limits: SandboxLimits): LimitOptions {
  const memory = Math.round(limits.memMb * MEGABYTE);
  return {
    // The engine counts memory and swap together.
    ...(memory > 0 ? { Memory: memory, MemorySwap: memory + limits.swapBytes } : {}),
    PidsLimit: limits.procs > 0 ? limits.procs : UNLIMITED,
    ...(limits.cpuPercent > 0
      ? { CpuPeriod: CPU_PERIOD_US, CpuQuota: Math.round(limits.cpuPercent * US_PER_PERCENT) }
      : {}),
  };
}

const bind = (source: string, target: string, readOnly = true): MountOptions => ({
  Type: 'bind',
  Source: source,
  Target: target,
  ReadOnly: readOnly,
});

/**
 * Builds a container in which the guest runtime starts at once and connects to the worker. The only part of the host
 * that the container can write to is an installer's staging directory. The container has no capability, and no program
 * in the container can gain one.
 */
export function containerOptions(settings: ContainerSettings, request: ContainerRequest): ContainerOptions {
  const { role, limits, user } = request;
  // Mode 1777 is not reliable: if the image has the directory, runc gives the mount the mode of this directory. The
  // guest can write there in both cases, because it owns the tmpfs.
  const owner = `uid=${user.uid},gid=${user.gid},mode=1777`;
  const memory = `rw,exec,nosuid,nodev,${owner},size=${Math.max(limits.scratchMb, 1)}m`;
  const mounts = [
    bind(settings.guestDir, '/runtime'),
    bind(settings.storeDir, STORE),
    bind(request.socketPath, SOCKET),
    ...(request.codeDir === undefined ? [] : [bind(request.codeDir, '/handler')]),
    ...(request.viewDir === undefined ? [] : [bind(request.viewDir, '/packages')]),
    ...(request.hostDir === undefined ? [] : [bind(request.hostDir, '/host', false)]),
  ];
  return {
    Image: settings.image,
    Entrypoint: ['python3', '-I', '-S', '/runtime/main.py', role, SOCKET],
    Cmd: [],
    Env: ENVIRONMENT,
    WorkingDir: '/',
    User: `${user.uid}:${user.gid}`,
    Hostname: 'sandbox',
    Labels: { [WORKER_LABEL]: settings.workerDir, 'argyle.role': role },
    HostConfig: {
      ...limitSettings(limits),
      ...(settings.runtime === '' ? {} : { Runtime: settings.runtime }),
      NetworkMode: request.network,
      Mounts: mounts,
      Tmpfs: request.hostDir === undefined ? { '/tmp': memory, '/host': memory } : { '/tmp': memory },
      ReadonlyRootfs: true,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      // The worker reads the output as a stream, so the engine need not keep it.
      LogConfig: { Type: 'none', Config: {} },
      RestartPolicy: { Name: 'no' },
    },
  };
}
