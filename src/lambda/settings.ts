/** The part of config.json that lambda/ goes by. */
import type { Config, LimitsConfig } from '../config/types';
import type { SandboxLimits } from '../sandbox/types';
import { ArgyleError } from '../errors';
import type { LambdaLimits } from './lambda-config';

export interface LambdaSettings {
  /** Absolute path of the code directories, <worker_dir>/code. */
  codeDir: string;
  registryCacheMs: number;
  /** Most requests of one function that wait for its code. */
  functionQueue: number;
  /** Most requests of one function that wait for an instance. */
  instanceQueue: number;
  /** Most instances of one function, 0 for no bound but memory. */
  maxInstances: number;
  /** An instance is frozen after this many idle ms. */
  pauseAfterMs: number;
  /** Idle instances beyond the first are given up after this many ms. */
  surplusIdleMs: number;
  limits: LimitsConfig;
  /** Whether answers carry the exceptions of functions. */
  showErrors: boolean;
  /** No function may ask for more memory than this, MB. */
  memPoolMb: number;
}

/** Surplus instances outlive a pause between bursts, but not an hour's quiet. */
const SURPLUS_IDLE_MS = 10_000;

export function lambdaSettings(config: Config): LambdaSettings {
  return {
    codeDir: `${config.worker_dir}/code`,
    registryCacheMs: config.registry_cache_ms,
    functionQueue: config.argyle.function_queue,
    instanceQueue: config.argyle.instance_queue,
    maxInstances: config.argyle.max_instances,
    pauseAfterMs: config.argyle.pause_after_ms,
    surplusIdleMs: SURPLUS_IDLE_MS,
    limits: config.limits,
    showErrors: config.argyle.show_errors,
    memPoolMb: config.mem_pool_mb,
  };
}

/**
 * The limits of a function's sandboxes: ol.yaml's where it names one, config.json's otherwise.
 * @throws ArgyleError LAMBDA_CONFIG when a function asks for more memory than the pool has
 */
export function sandboxLimits(settings: LambdaSettings, own: LambdaLimits): SandboxLimits {
  const { limits, memPoolMb } = settings;
  if (own.mem_mb !== undefined && own.mem_mb > memPoolMb) {
    const at = { field: 'limits.mem_mb', value: String(own.mem_mb) };
    throw new ArgyleError('LAMBDA_CONFIG', `limits.mem_mb is ${own.mem_mb}, but mem_pool_mb is ${memPoolMb}`, at);
  }
  return {
    memMb: own.mem_mb ?? limits.mem_mb,
    procs: own.procs ?? limits.procs,
    cpuPercent: own.cpu_percent ?? limits.cpu_percent,
    swapBytes: limits.swappiness,
    scratchMb: own.scratch_mb ?? limits.scratch_mb,
  };
}

/** Seconds that one request may take, 0 for no limit. */
export function runtimeSec(settings: LambdaSettings, own: LambdaLimits): number {
  return own.runtime_sec ?? settings.limits.runtime_sec;
}
