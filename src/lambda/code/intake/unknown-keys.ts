/**
 * Keys of an ol.yaml that have no effect. The original ignores such keys, so they are reported and are no error. Pure.
 */
import { nearest } from './nearest';
import type { Value } from './yaml-value';

/** Known keys of a mapping. `[…]` is a list of mappings. Another module checks the contents of `any`. */
type Known = 'any' | { readonly [key: string]: Known } | readonly [{ readonly [key: string]: Known }];

const KNOWN: Known = {
  triggers: {
    http: [{ method: 'any' }],
    cron: [{ schedule: 'any' }],
    kafka: [{ bootstrap_servers: 'any', topics: 'any', auto_offset_reset: 'any' }],
  },
  environment: 'any',
  secrets: 'any',
  'reuse-sandbox': 'any',
  runtime: 'any',
  concurrency: 'any',
  // limits.ts and scale.ts report their own unknown keys.
  limits: 'any',
  scale: 'any',
};
/** Maximum number of elements of a list that are examined. */
const MOST_ITEMS = 100;

/**
 * Reports each unknown key with the nearest known one. HTTP methods are case-sensitive, so `get` is reported, too.
 * @param root of a document whose known keys have been read without error
 */
export function reportUnknownKeys(root: Value, report: (message: string) => void): void {
  visit(root, KNOWN, report);
  for (const item of list(root.map()?.get('triggers')?.map()?.get('http'))) {
    const method = item.map()?.get('method');
    const text = method?.text() ?? '';
    if (text === text.toUpperCase()) continue;
    const right = text.toUpperCase().slice(0, 100);
    report(
      `${method?.path ?? ''} is "${text.slice(0, 100)}", which no request has: methods are case-sensitive, as ${right}`,
    );
  }
}

function visit(value: Value, known: Known, report: (message: string) => void): void {
  if (known === 'any') return;
  if (isList(known)) {
    for (const item of list(value)) visit(item, known[0], report);
    return;
  }
  const names = Object.keys(known);
  for (const [key, member] of value.map() ?? []) {
    const next = Object.hasOwn(known, key) ? known[key] : undefined;
    if (next !== undefined) visit(member, next, report);
    // POLICY: as in Compose files, a key that begins with x- is the author's own, for example for an anchor.
    else if (!key.startsWith('x-')) {
      const prefix = value.path === '' ? '' : `${value.path}.`;
      const hint = `the nearest is ${prefix}${nearest(key, names)}, all are ${names.join(', ')}`;
      report(`ol.yaml: ${prefix}${key.slice(0, 100)} has no effect: ${hint}`);
    }
  }
}

const isList = (known: Exclude<Known, 'any'>): known is readonly [{ readonly [key: string]: Known }] =>
  Array.isArray(known);

const list = (value: Value | undefined): Value[] => value?.list().slice(0, MOST_ITEMS) ?? [];
