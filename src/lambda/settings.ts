/** The part of config.json that lambda/ uses. */
import type { Config, LimitsConfig } from '../config/types';
import type { SandboxLimits } from '../sandbox/types';
import { ArgyleError } from '../errors';
import type { LambdaConfig, LambdaLimits, ScaleConfig } from './code/lambda-config';

export interface LambdaSettings {
  /** Absolute path of the code directories, <worker_dir>/code. */
  codeDir: string;
  registryCacheMs: number;
  /** Maximum number of requests of one function that wait for its code. */
  functionQueue: number;
  /** Maximum number of requests of one function that wait for an instance. */
  instanceQueue: number;
  /** Maximum number of instances of one function. 0: only memory bounds them. */
  maxInstances: number;
  /** Idle time before an instance is frozen, in ms. */
  pauseAfterMs: number;
  /** Idle time before an instance beyond the first is destroyed, in ms. */
  surplusIdleMs: number;
  limits: LimitsConfig;
  /** Whether answers carry the exceptions of functions. */
  showErrors: boolean;
  /** Maximum memory that a function may ask for, in MB. */
  memPoolMb: number;
}

/**
 * Idle time before a surplus instance is destroyed, in ms. Surplus instances stay during a short pause between two
 * bursts of calls.
 */
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
 * The limits of a function's sandboxes. A limit of ol.yaml replaces the limit of config.json.
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

/** Longest time of one request, in seconds; 0 for no limit. */
export function runtimeSec(settings: LambdaSettings, own: LambdaLimits): number {
  return own.runtime_sec ?? settings.limits.runtime_sec;
}

/** The settings under which a function runs, by their names in ol.yaml; 0 for no bound. */
export interface SettingsInForce {
  limits: Required<LambdaLimits>;
  scale: ScaleConfig;
  concurrency: number;
  /** Absent for the worker's own base. */
  runtime?: string;
}

/** Joins a function's own settings with the worker's. Pure. */
export function settingsInForce(settings: LambdaSettings, config: LambdaConfig): SettingsInForce {
  const { mem_mb, procs, cpu_percent, runtime_sec, scratch_mb } = { ...settings.limits, ...config.limits };
  return {
    limits: { mem_mb, procs, cpu_percent, runtime_sec, scratch_mb },
    scale: bounds(settings, config.scale),
    concurrency: config.concurrency ?? 1,
    ...(config.base === undefined ? {} : { runtime: config.base }),
  };
}

/** Fewest and most instances of a function; 0 for no bound. argyle.max_instances bounds the value of ol.yaml. */
export function bounds({ maxInstances }: LambdaSettings, own: ScaleConfig | undefined): { min: number; max: number } {
  if (own === undefined) return { min: 0, max: maxInstances };
  const max = maxInstances === 0 || own.max === 0 ? maxInstances + own.max : Math.min(maxInstances, own.max);
  return { min: max === 0 ? own.min : Math.min(own.min, max), max };
}
