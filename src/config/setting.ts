/** The kinds of settings in the schema's table, what the table knows about each, and the messages for wrong values. */
import { z } from 'zod';

/** The schema's entry for a key besides its type. The decoder and the docs generator read it. */
export interface SettingMeta {
  /** One or two sentences for docs/config.md. */
  about: string;
  /** Only for keys that the original lacks: the value of a missing key. */
  ours?: unknown;
  /** The value gives access to something, so it is never shown. */
  secret?: boolean;
}

export function setting<T extends z.ZodType>(type: T, about: string, ours?: unknown, secret = false): T {
  return type.meta({ about, ...(ours === undefined ? {} : { ours }), ...(secret ? { secret } : {}) });
}

const KINDS: Record<string, string> = { number: 'int', int: 'int', boolean: 'bool', record: 'object' };

/** Go's name for the JSON kind of a value, as in the decoder's messages. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

/** Formats a value for an error message: JSON, cut after 100 characters. */
export function show(value: unknown): string {
  const text = value === undefined ? 'undefined' : JSON.stringify(value);
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

/** The decoder's message for a value of the wrong type, in Go's format. */
export function typeMessage(field: string, value: unknown, expected: string): string {
  const shown = kindOf(value) === 'number' ? `number ${show(value)}` : kindOf(value);
  return `json: cannot unmarshal ${shown} into field ${field} of type ${KINDS[expected] ?? expected}`;
}

export const text = (about: string, ours?: string) => setting(z.string(), about, ours);
export const flag = (about: string, ours?: boolean) => setting(z.boolean(), about, ours);
export const count = (about: string, ours?: number) => setting(z.int().min(0), about, ours);

/** An enumeration whose error is the contract's string. A value of another type gets the decoder's message. */
export function choice<const T extends readonly [string, ...string[]]>(
  values: T,
  about: string,
  complaint: (value: string) => string,
  ours?: T[number],
) {
  const type = z.enum(values, {
    error: (issue) => (typeof issue.input === 'string' ? complaint(issue.input) : 'invalid_type'),
  });
  return setting(type, about, ours);
}

export const oneOf = (field: string, values: readonly string[]) => (value: string) =>
  `${field} must be one of ${values.map((v) => `"${v}"`).join(', ')} (current=${show(value)})`;

export const list = (about: string) => setting(z.array(z.string()), about, []);

/** The metadata of one setting; empty for groups. */
export function metaOf(type: z.ZodType): SettingMeta {
  const meta = type.meta();
  const about = typeof meta?.['about'] === 'string' ? meta['about'] : '';
  const secret = meta?.['secret'] === true ? { secret: true } : {};
  return { about, ...secret, ...(meta !== undefined && 'ours' in meta ? { ours: meta['ours'] } : {}) };
}
