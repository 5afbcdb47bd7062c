/** Applies `-o key=value,…` from the command line. Pure. */
import { ArgyleError } from '../errors';
import { z } from 'zod';
import { foldKey, isObject } from './decode';
import { schema } from './schema';
import { metaOf, show } from './setting';

const TRUE = ['1', 't', 'T', 'TRUE', 'true', 'True'];
const FALSE = ['0', 'f', 'F', 'FALSE', 'false', 'False'];

function invalid(message: string, field: string, value: string): ArgyleError {
  return new ArgyleError('CONFIG_INVALID', message, { field, value });
}

/** Converts the text to the key's current type. Accepts the spellings of Go's strconv. */
function convert(option: string, previous: unknown, text: string): string | number | boolean {
  if (typeof previous === 'string') return text;
  if (typeof previous === 'number') {
    const number = /^[+-]?\d+$/.test(text) ? Number(text) : NaN;
    if (Number.isSafeInteger(number)) return number;
    throw invalid(`option '${option}' must be an int, found '${text}'`, option, text);
  }
  if (typeof previous === 'boolean') {
    if (TRUE.includes(text)) return true;
    if (FALSE.includes(text)) return false;
    throw invalid(`option '${option}' must be a bool, found '${text}'`, option, text);
  }
  throw invalid(`option '${option}' holds ${show(previous)} and must be edited in config.json`, option, text);
}

/** The default of a key that only Argyle has. Files for the original lack such keys. */
function ownDefault(keys: readonly string[]): unknown {
  let at: z.ZodType | undefined = schema;
  for (const key of keys) {
    if (!(at instanceof z.ZodObject)) return undefined;
    const shape: Record<string, z.ZodType> = at.shape;
    const name = foldKey(Object.keys(shape), key);
    at = name === undefined ? undefined : shape[name];
  }
  return at === undefined ? undefined : metaOf(at).ours;
}

function setOne(root: Record<string, unknown>, option: string, text: string): void {
  const keys = option.split('.');
  const own = ownDefault(keys);
  let at = root;
  for (const [i, key] of keys.entries()) {
    const last = i === keys.length - 1;
    let name = foldKey(Object.keys(at), key);
    if (name === undefined) {
      if (own === undefined) throw invalid(`invalid option: '${option}'`, option, text);
      name = key.toLowerCase();
      at[name] = last ? own : {};
    }
    if (last) {
      at[name] = convert(option, at[name], text);
      return;
    }
    const next = at[name];
    if (!isObject(next)) throw invalid(`invalid option: '${option}'`, option, text);
    at = next;
  }
}

/**
 * Returns the parsed JSON of config.json with `options` (`a=1,b.c=x`) applied. The argument is not changed. Only keys
 * in the file and Argyle's own keys can be set. A value keeps its type.
 * @throws CONFIG_INVALID with the contract's strings
 */
export function applyOverrides(json: unknown, options: string): unknown {
  const copy: unknown = structuredClone(json);
  if (!isObject(copy)) throw invalid(`config.json must hold an object, found ${show(json)}`, '', show(json));
  for (const option of options.split(',')) {
    const [key, text, ...rest] = option.split('=');
    if (key === undefined || text === undefined || rest.length > 0) {
      throw invalid(`Could not parse key=val: '${option}'`, '', option);
    }
    setOne(copy, key, text);
  }
  return copy;
}
