/** The config that `ol worker init` writes. Pure. */
import { join } from 'node:path';
import { ArgyleError } from '../errors';
import { decode, isObject } from './decode';
import type { FileConfig } from './schema';

/** Memory reserved for the system, and the smallest pool, both in MB. The values are the contract's. */
const SYSTEM_MB = 500;
const SMALLEST_POOL_MB = 500;

/** Size of the memory pool on a machine with `totalMemMb` MB, in MB. */
export function defaultPoolMb(totalMemMb: number): number {
  return Math.max(Math.floor(totalMemMb) - SYSTEM_MB, SMALLEST_POOL_MB);
}

/**
 * The original's defaults by key. The schema has the defaults of Argyle's own keys. POLICY: only features.import_cache
 * differs. Zygotes that are chosen by the functions' imports serve far more calls than a fixed tree
 * (docs/benchmarks.md).
 */
function originalDefaults(olDir: string, totalMemMb: number) {
  return {
    worker_dir: join(olDir, 'worker'),
    worker_url: 'localhost',
    worker_port: '5000',
    log_output: true,
    sandbox: 'sock',
    sandbox_config: {},
    server_mode: 'lambda',
    registry: `file://${join(olDir, 'registry')}`,
    registry_cache_ms: 5000,
    Pkgs_dir: join(olDir, 'lambda', 'packages'),
    pip_mirror: '',
    mem_pool_mb: defaultPoolMb(totalMemMb),
    import_cache_tree: join(olDir, 'default-zygotes-40.json'),
    sock_base_path: join(olDir, 'lambda'),
    docker: { runtime: '', base_image: 'ol-min' },
    limits: { procs: 10, mem_mb: 50, cpu_percent: 100, swappiness: 0, runtime_sec: 30 },
    installer_limits: { mem_mb: 250, runtime_sec: 300 },
    features: { reuse_cgroups: false, import_cache: 'popularity', downsize_paused_mem: true, enable_seccomp: true },
    trace: { cgroups: false, memory: false, evictor: false, package: false, latency: false },
    storage: { root: 'private', scratch: '', code: '' },
    kafka: {
      cache_enabled: true,
      cache_size: 1024,
      session_timeout_sec: 10,
      heartbeat_interval_sec: 3,
      poll_timeout_sec: 1,
    },
  };
}

/** The settings of a new worker directory `olDir` (absolute path) on a machine with `totalMemMb` MB. */
export function defaultConfig(olDir: string, totalMemMb: number): FileConfig {
  const { file, problems } = decode(originalDefaults(olDir, totalMemMb));
  if (file === undefined) throw new Error(`the defaults are malformed: ${problems[0]?.message ?? ''}`);
  return file;
}

const isEmpty = (value: unknown) => value === '' || value === 0 || value === null || value === undefined;

/** The limits of a template. Absent fields get their default. If all fields are 0, all get their default. */
function patchLimits(given: unknown, filled: FileConfig['limits'], fallback: FileConfig['limits']) {
  const { scratch_mb: scratch, ...zeroable } = filled;
  if (Object.values(zeroable).every((value) => value === 0)) return { ...fallback, scratch_mb: scratch };
  const named = isObject(given) ? Object.keys(given).map((key) => key.toLowerCase()) : [];
  const absent = Object.entries(fallback).filter(([key]) => !named.includes(key));
  return { ...filled, ...Object.fromEntries(absent) };
}

/**
 * The settings of a new worker directory, based on `template` (the parsed JSON of template.json). Empty settings that
 * every worker needs get their default. All other settings stay as decoded.
 * @throws CONFIG_INVALID when the template has a value of a wrong type
 */
export function configFromTemplate(template: unknown, olDir: string, totalMemMb: number): FileConfig {
  const { file, problems } = decode(template);
  const [problem] = problems;
  if (file === undefined) {
    const { message, field, value } = problem ?? { message: 'template.json is malformed', field: '', value: '' };
    throw new ArgyleError('CONFIG_INVALID', message, { field, value });
  }
  const defaults = defaultConfig(olDir, totalMemMb);
  const given = isObject(template) ? template : {};
  const groupOf = (name: string) => Object.entries(given).find(([key]) => key.toLowerCase() === name)?.[1];
  const or = <T>(value: T, fallback: T): T => (isEmpty(value) ? fallback : value);
  return {
    ...file,
    worker_dir: or(file.worker_dir, defaults.worker_dir),
    registry: or(file.registry, defaults.registry),
    Pkgs_dir: or(file.Pkgs_dir, defaults.Pkgs_dir),
    sock_base_path: or(file.sock_base_path, defaults.sock_base_path),
    import_cache_tree: or(file.import_cache_tree, defaults.import_cache_tree),
    mem_pool_mb: or(file.mem_pool_mb, defaults.mem_pool_mb),
    limits: patchLimits(groupOf('limits'), file.limits, defaults.limits),
    installer_limits: patchLimits(groupOf('installer_limits'), file.installer_limits, defaults.installer_limits),
  };
}
