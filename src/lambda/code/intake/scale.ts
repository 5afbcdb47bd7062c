/** `scale` and `concurrency` of an ol.yaml: number of instances, and number of requests per instance. Pure. */
import { ArgyleError } from '../../../errors';
import type { ScaleConfig } from '../lambda-config';
import { nearest } from './nearest';
import { fail, type Value } from './yaml-value';

/** Maximum number of instances that a function may ask for. */
const MOST_INSTANCES = 10_000;
/** Maximum number of requests at once in one instance. Each request needs a connection and a task in the guest. */
const MOST_CONCURRENT = 500;
const NAMES = ['min', 'max'] as const;

export interface ScaleRules {
  /** argyle.max_instances, 0 for no limit; absent for a caller that only reads a file. */
  maxInstances?: number;
  /** Called for each key other than min and max. */
  onUnknown?: (message: string, field: string) => void;
}

/**
 * Reads `scale`.
 * @returns both numbers, each 0 when it is missing; undefined when both are missing
 * @throws ArgyleError LAMBDA_CONFIG with field and value
 */
export function readScale(
  given: Map<string, Value> | undefined,
  { maxInstances = 0, onUnknown }: ScaleRules,
): ScaleConfig | undefined {
  const scale: ScaleConfig = { min: 0, max: 0 };
  for (const [key, value] of given ?? []) {
    const name = NAMES.find((known) => known === key);
    if (name === undefined) {
      const shown = `scale.${key.slice(0, 100)}`;
      onUnknown?.(`${shown} is not known: the nearest is scale.${nearest(key, NAMES)}, all are min, max`, shown);
    } else if (!value.isNull) {
      scale[name] = value.integer(name === 'max' ? 1 : 0, MOST_INSTANCES);
    }
  }
  const { min, max } = scale;
  if (max > 0 && min > max) fail(`scale.min is ${min}, more than scale.max, ${max}`, 'scale.min', String(min));
  for (const name of NAMES) if (maxInstances > 0) checkMost(name, scale[name], maxInstances);
  return min === 0 && max === 0 ? undefined : scale;
}

function checkMost(name: (typeof NAMES)[number], value: number, most: number): void {
  if (value <= most) return;
  const at = { field: `scale.${name}`, value: String(value) };
  const message = `${at.field} is ${value}, but this worker allows ${most} at most (argyle.max_instances)`;
  throw new ArgyleError('LAMBDA_CONFIG', message, at);
}

/** Reads `concurrency`: requests that one instance serves at once, 1 by default. @throws ArgyleError LAMBDA_CONFIG */
export function readConcurrency(given: Value | undefined): number {
  return given === undefined || given.isNull ? 1 : given.integer(1, MOST_CONCURRENT);
}

/**
 * Refuses `concurrency` above 1 when the code shows that there is no ASGI application. When the
 * code does not show the kind of the application, the guest checks it at the first start.
 * @param runtime of the entry file
 * @param source text of the entry file
 * @throws ArgyleError LAMBDA_CONFIG
 */
export function checkConcurrency(
  concurrency: number,
  { runtime, entryFile }: { runtime: 'python' | 'native'; entryFile: string },
  env: Readonly<Record<string, string>>,
  source: string,
): void {
  if (concurrency === 1) return;
  const kind = runtime === 'native' ? 'a native program' : otherKind(env, source);
  if (kind === undefined) return;
  const message =
    `concurrency is ${concurrency}, but ${entryFile} holds ${kind}: only an ASGI application serves several requests ` +
    'at once; leave concurrency out, or name the application in OL_ASGI_ENTRY';
  throw new ArgyleError('LAMBDA_CONFIG', message, { field: 'concurrency', value: String(concurrency) });
}

/**
 * The kind of the entry when the code shows that it is no ASGI application; otherwise undefined. The order of the
 * checks is that of the guest (entry.py).
 */
function otherKind(env: Readonly<Record<string, string>>, source: string): string | undefined {
  if ((env['OL_WSGI_ENTRY'] ?? '') !== '') return 'a WSGI application (OL_WSGI_ENTRY)';
  if ((env['OL_ASGI_ENTRY'] ?? '') !== '') return undefined;
  const code = source.replace(/("""|''')[^]*?\1/g, '');
  if (/^(?:async[ \t]+)?def[ \t]+f[ \t]*\(/m.test(code)) return 'a function f(event)';
  if (/^async[ \t]+def[ \t]+app[ \t]*\(/m.test(code)) return undefined;
  return /^def[ \t]+app[ \t]*\(/m.test(code) ? 'a WSGI application' : undefined;
}
