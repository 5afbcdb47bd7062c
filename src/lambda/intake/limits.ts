/** `limits` of an ol.yaml: what a function may ask for, and what the operator lets it have. Pure. */
import { ArgyleError } from '../../errors';
import type { LambdaLimits } from '../lambda-config';
import { nearest } from './nearest';
import type { Value } from './yaml-value';

export type LimitName = keyof LambdaLimits;
/** Greatest value of each limit. */
export type LimitCaps = Readonly<Record<LimitName, number>>;

/** Least value of each limit; 0 seconds means no timeout, as in config.json. */
const LEAST: LimitCaps = { mem_mb: 1, procs: 1, cpu_percent: 1, runtime_sec: 0, scratch_mb: 1 };
/** Greatest value that makes sense: the helper's counters are 32 bits wide, and a day is no request any more. */
const GREATEST: LimitCaps = {
  mem_mb: 1 << 20,
  procs: 32768,
  cpu_percent: 102400,
  runtime_sec: 86400,
  scratch_mb: 1 << 20,
};
const NAMES = Object.keys(LEAST) as LimitName[];

export interface LimitRules {
  /** argyle.max_limits; absent for whoever only reads a file. */
  caps?: LimitCaps;
  /** Hears of each key that is no limit. */
  onUnknown?: (message: string, field: string) => void;
}

export const NO_RULES: LimitRules = {};

/**
 * Reads the limits that are there.
 * @throws ArgyleError LAMBDA_CONFIG, naming field, value and cap
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
  // POLICY: a function that wants no timeout gets the longest that the operator allows.
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

/** The settings that caps come from. */
export interface CapSettings {
  maxLimits: LimitCaps;
  memPoolMb: number;
  cpus: number;
}

/** Least default of the cap on memory, MB: a quarter of a small pool would be too little for packages like pandas. */
const LEAST_MEM_CAP_MB = 512;

/**
 * The caps that hold. 0 in `argyle.max_limits` is a quarter of the memory pool for mem_mb, all processors for
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
