/** Decodes the JSON of config.json as Go's encoding/json fills a struct. Pure. */
import { z } from 'zod';
import { schema, type FileConfig } from './schema';
import { metaOf, show, typeMessage } from './setting';

/** One problem of a setting. */
export interface Problem {
  /** Dotted key, e.g. `limits.mem_mb`; '' for the whole file. */
  field: string;
  /** The faulty value, as JSON. */
  value: string;
  message: string;
}

export interface Decoded {
  /** Undefined when there are problems. */
  file: FileConfig | undefined;
  problems: Problem[];
  /** Warnings for the log, e.g. about unknown keys. */
  warnings: string[];
}

/** Whether the value is a JSON object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Former names of keys, in lower case. They remain valid in files and options. */
const RENAMED: ReadonlyMap<string, string> = new Map([['rehearsal_calls', 'warmup_calls']]);

/**
 * Finds the key for a given name: the exact key, else the key that differs only in case, as in Go. A former name gives
 * the current key.
 */
export function foldKey(keys: readonly string[], given: string): string | undefined {
  const name = RENAMED.get(given.toLowerCase()) ?? given;
  return keys.includes(name) ? name : keys.find((key) => key.toLowerCase() === name.toLowerCase());
}

/** The value of a missing key: Go's zero value, or the default of a key that only Argyle has. */
function missing(type: z.ZodType): unknown {
  const meta = metaOf(type);
  if ('ours' in meta) return meta.ours;
  if (type instanceof z.ZodObject) return fill(type, {}, '', []);
  if (type instanceof z.ZodNumber) return 0;
  if (type instanceof z.ZodBoolean) return false;
  if (type instanceof z.ZodRecord) return {};
  if (type instanceof z.ZodArray) return [];
  return '';
}

/** Normalises the spelling of keys, drops nulls and unknown keys, and adds missing keys. */
function fill(group: z.ZodObject, json: Record<string, unknown>, path: string, warnings: string[]) {
  const shape: Record<string, z.ZodType> = group.shape;
  const keys = Object.keys(shape);
  const found = new Map<string, unknown>();
  for (const [name, value] of Object.entries(json)) {
    const key = foldKey(keys, name);
    if (key === undefined) {
      warnings.push(`unknown key ${JSON.stringify(path + name)} ignored`);
      continue;
    }
    // As in Go: null leaves a field unchanged, and a repeated key updates the same struct.
    if (value === null) continue;
    const earlier = found.get(key);
    found.set(key, isObject(earlier) && isObject(value) ? { ...earlier, ...value } : value);
  }
  const filled: Record<string, unknown> = {};
  for (const [key, type] of Object.entries(shape)) {
    const value = found.get(key);
    if (value === undefined) filled[key] = missing(type);
    else if (type instanceof z.ZodObject && isObject(value))
      filled[key] = fill(type, value, `${path}${key}.`, warnings);
    else filled[key] = value;
  }
  return filled;
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (Array.isArray(at) ? (at as unknown[])[Number(key)] : isObject(at) ? at[String(key)] : undefined),
    root,
  );
}

function problemOf(issue: z.core.$ZodIssue, root: unknown): Problem {
  const field = issue.path.join('.');
  const value = valueAt(root, issue.path);
  const make = (message: string): Problem => ({ field, value: show(value), message });
  if (issue.code === 'invalid_type') return make(typeMessage(field, value, issue.expected));
  if (issue.code === 'invalid_value' && typeof value !== 'string') return make(typeMessage(field, value, 'string'));
  if (issue.code === 'too_small') return make(`${field} must be at least ${issue.minimum} (current=${show(value)})`);
  if (issue.code === 'too_big') return make(`${field} must be at most ${issue.maximum} (current=${show(value)})`);
  return make(issue.message);
}

/**
 * Decodes the parsed JSON of a config file. Keys match in any case at every level. Unknown keys become warnings. Null
 * and missing keys get Go's zero value, or the default for Argyle's own keys. A value of another type is never
 * converted. It is a problem that names field and value.
 */
export function decode(json: unknown): Decoded {
  const warnings: string[] = [];
  if (!isObject(json)) {
    const message = typeMessage('(the whole file)', json, 'object');
    return { file: undefined, problems: [{ field: '', value: show(json), message }], warnings };
  }
  const filled = fill(schema, json, '', warnings);
  const parsed = schema.safeParse(filled);
  if (parsed.success) return { file: parsed.data, problems: [], warnings };
  return { file: undefined, problems: parsed.error.issues.map((issue) => problemOf(issue, filled)), warnings };
}
