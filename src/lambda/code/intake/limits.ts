/** `limits` of an ol.yaml: the limits that a function asks for, within the operator's caps. Pure. */
import { ArgyleError } from '../../../errors';
import type { LambdaLimits } from '../lambda-config';
import { nearest } from './nearest';
import type { Value } from './yaml-value';

export type LimitName = keyof LambdaLimits;
/** Greatest value of each limit. */
export type LimitCaps = Readonly<Record<LimitName, number>>;

/** Least value of each limit. 0 seconds means no timeout, as in config.json. */
const LEAST: LimitCaps = { mem_mb: 1, procs: 1, cpu_percent: 1, runtime_sec: 0, scratch_mb: 1 };
/** Greatest value of each limit. The helper's counters have 32 bits, and no request takes longer than a day. */
const GREATEST: LimitCaps = {
  mem_mb: 1 << 20,
  procs: 32768,
  cpu_percent: 102400,
  runtime_sec: 86400,
  scratch_mb: 1 << 20,
};
const NAMES = Object.keys(LEAST) as LimitName[];

export interface LimitRules {
  /** argyle.max_limits; absent for a caller that only reads a file. */
  caps?: LimitCaps;
  /** Called for each key that is no limit. */
  onUnknown?: (message: string, field: string) => void;
}

export const NO_RULES: LimitRules = {};

/**
 * Reads the given limits.
 * @throws ArgyleError LAMBDA_CONFIG with field, value and cap
 */
export function readLimits(given: Map<string, Value> | undefined, { caps, onUnknown }: LimitRules): LambdaLimits {
  const limits: LambdaLimits = {};
  for (const [key, value] of given ?? []) {
    const name = NAMES.find((known) => known === key);
    if (name === undefined) {
      const shown = key.slice(0, 100);
      const hint = `the nearest is limits.${nearest(key, NAMES)}, all are ${NAMES.join(', ')}`;
      onUnknown?.(`limits.${shown} is no limit: ${hint}`, `limits.${shown}`);
    } else if (!value.isNull) {
      limits[name] = value.integer(LEAST[name], GREATEST[name]);
    }
  }
  if (caps === undefined) return limits;
  checkCaps(limits, caps);
  // POLICY: a function without a timeout gets the longest timeout that the operator allows.
  if (limits.runtime_sec === 0 && caps.runtime_sec < GREATEST.runtime_sec) limits.runtime_sec = caps.runtime_sec;
  return limits;
}

/** @throws ArgyleError LAMBDA_CONFIG for the first limit above its cap */
function checkCaps(limits: LambdaLimits, caps: LimitCaps): void {
  for (const name of NAMES) {
    const value = limits[name];
    const cap = caps[name];
    if (value === undefined || value <= cap) continue;
    const at = { field: `limits.${name}`, value: String(value) };
    const message = `limits.${name} is ${value}, but this worker allows ${cap} at most (argyle.max_limits.${name})`;
    throw new ArgyleError('LAMBDA_CONFIG', message, at);
  }
}

/** The settings from which the caps are computed. */
export interface CapSettings {
  maxLimits: LimitCaps;
  memPoolMb: number;
  cpus: number;
}

/**
 * Least default of the cap on memory, in MB. A quarter of a small pool would be too little for packages such as pandas.
 */
const LEAST_MEM_CAP_MB = 512;

/**
 * Computes the caps. 0 in `argyle.max_limits` means a quarter of the memory pool for mem_mb, all processors for
 * cpu_percent, and no cap for the others.
 */
export function limitCaps({ maxLimits, memPoolMb, cpus }: CapSettings): LimitCaps {
  const bounded = memPoolMb > 0 && Number.isFinite(memPoolMb);
  const quarter = bounded
    ? Math.min(Math.max(Math.floor(memPoolMb / 4), LEAST_MEM_CAP_MB), memPoolMb)
    : GREATEST.mem_mb;
  const byDefault: LimitCaps = { ...GREATEST, mem_mb: quarter, cpu_percent: cpus * 100 };
  const caps: Record<LimitName, number> = { ...byDefault };
  for (const name of NAMES) caps[name] = maxLimits[name] === 0 ? byDefault[name] : maxLimits[name];
  return caps;
}
