/** What the engine is told of a container. Pure. */
import type { ContainerCreateOptions, HostConfig, MountSettings } from 'dockerode';
import { MEGABYTE } from '../slot';
import type { SandboxLimits } from '../types';
import { WORKER_LABEL } from './engine';

/** What all containers of a worker have in common. */
export interface ContainerSettings {
  /** docker.base_image. */
  image: string;
  /** docker.runtime; '' for the engine's default. */
  runtime: string;
  /** config.worker_dir, which labels them. */
  workerDir: string;
  /** The guest's files, for /runtime. */
  guestDir: string;
  /** config.Pkgs_dir, for /packages. */
  packagesDir: string;
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
  /** Host directory for /host, writable; without it /host is memory. */
  hostDir?: string;
}

const SOCKET = '/run/argyle.sock';
/** Length of a CPU quota's period, µs; the kernel's default. */
const CPU_PERIOD_US = 100_000;
const US_PER_PERCENT = CPU_PERIOD_US / 100;
/** The engine's word for no limit. */
const UNLIMITED = -1;
/** As a slot's guest has it; the image's own variables stay beside these. */
const ENVIRONMENT = ['PATH=/usr/local/bin:/usr/bin:/bin', 'HOME=/tmp', 'TMPDIR=/tmp', 'LANG=C.UTF-8'];

function limitSettings(limits: SandboxLimits): HostConfig {
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

const bind = (source: string, target: string, readOnly = true): MountSettings => ({
  Type: 'bind',
  Source: source,
  Target: target,
  ReadOnly: readOnly,
});

/**
 * A container in which the guest runtime starts at once and dials the worker. Nothing of the host is writable from it,
 * but an installer's staging directory; nor has it a capability, and no program in it can gain any.
 */
export function containerOptions(settings: ContainerSettings, request: ContainerRequest): ContainerCreateOptions {
  const { role, limits, user } = request;
  // Owned by the guest, since runc gives a mount the mode that the image's directory has, if it has one.
  const owner = `uid=${user.uid},gid=${user.gid},mode=1777`;
  const memory = `rw,exec,nosuid,nodev,${owner},size=${Math.max(limits.scratchMb, 1)}m`;
  const mounts = [
    bind(settings.guestDir, '/runtime'),
    bind(settings.packagesDir, '/packages'),
    bind(request.socketPath, SOCKET),
    ...(request.codeDir === undefined ? [] : [bind(request.codeDir, '/handler')]),
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
      // The worker reads what is printed as it comes; the engine need not keep it.
      LogConfig: { Type: 'none', Config: {} },
      RestartPolicy: { Name: 'no' },
    },
  };
}
