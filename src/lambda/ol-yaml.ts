/**
 * Parses ol.yaml. Keys that nobody knows are ignored, as in the original; values of the wrong kind are an error that
 * names the field. Environment values keep the text they were written with: `1.10` stays `1.10`.
 */
import { isAlias, isMap, isScalar, isSeq, parseAllDocuments } from 'yaml';
import type { Document } from 'yaml';
import { ArgyleError } from '../errors';
import type { LambdaConfig, LambdaLimits } from './lambda-config';
import { defaultLambdaConfig } from './lambda-config';

/** Largest accepted ol.yaml in bytes; the parser holds it in memory. */
export const MAX_OL_YAML_BYTES = 1 << 20;

/** Least value of each limit; 0 seconds means no timeout, as in config.json. */
const LIMIT_MIN: Record<keyof LambdaLimits, number> = { mem_mb: 1, procs: 1, cpu_percent: 1, runtime_sec: 0 };
/** Greatest value of each limit: the helper's counters are 32 bits wide, and a day is no request any more. */
const LIMIT_MAX: Record<keyof LambdaLimits, number> = {
  mem_mb: 1 << 20,
  procs: 32768,
  cpu_percent: 102400,
  runtime_sec: 86400,
};

function fail(message: string, field?: string, value?: string): never {
  const at = { ...(field === undefined ? {} : { field }), ...(value === undefined ? {} : { value }) };
  throw new ArgyleError('LAMBDA_CONFIG', `failed to parse ol.yaml: ${message}`, at);
}

/** One value of the document, with its path for errors and aliases followed. */
class Value {
  constructor(
    private readonly doc: Document,
    private readonly node: unknown,
    readonly path: string,
  ) {}

  static of(doc: Document, node: unknown, path: string): Value {
    return new Value(doc, isAlias(node) ? node.resolve(doc) : node, path);
  }

  get isNull(): boolean {
    return this.node === null || this.node === undefined || (isScalar(this.node) && this.node.value === null);
  }

  /** The scalar's own text; null is ''. */
  text(): string {
    if (this.isNull) return '';
    if (!isScalar(this.node)) fail(`${this.path} must be a single value`, this.path);
    return typeof this.node.value === 'string' ? this.node.value : (this.node.source ?? String(this.node.value));
  }

  /** Members by key; null is undefined. */
  map(): Map<string, Value> | undefined {
    if (this.isNull) return undefined;
    if (!isMap(this.node)) fail(`${this.path || 'the document'} must be a mapping`, this.path);
    const members = new Map<string, Value>();
    for (const { key, value } of this.node.items) {
      const name = Value.of(this.doc, key, this.path).text();
      members.set(name, Value.of(this.doc, value, this.path === '' ? name : `${this.path}.${name}`));
    }
    return members;
  }

  /** Elements; null is an empty list. */
  list(): Value[] {
    if (this.isNull) return [];
    if (!isSeq(this.node)) fail(`${this.path} must be a list`, this.path);
    return this.node.items.map((item, index) => Value.of(this.doc, item, `${this.path}[${index}]`));
  }

  boolean(): boolean {
    const text = this.text();
    if (/^(true|yes|on|y)$/i.test(text)) return true;
    if (/^(false|no|off|n)$/i.test(text)) return false;
    return fail(`${this.path} must be true or false, not "${text}"`, this.path, text);
  }

  integer(min: number, max: number): number {
    const text = this.text();
    const value = /^[0-9]{1,9}$/.test(text) ? Number(text) : NaN;
    if (!(value >= min && value <= max)) {
      fail(`${this.path} must be a whole number from ${min} to ${max}, not "${text}"`, this.path, text);
    }
    return value;
  }
}

/**
 * Parses the text of an ol.yaml.
 * @throws ArgyleError LAMBDA_CONFIG; an empty or comment-only file ends in `EOF`
 */
export function parseOlYaml(text: string): LambdaConfig {
  const docs = parseAllDocuments(text, { uniqueKeys: true, logLevel: 'silent', prettyErrors: false });
  const [doc] = docs;
  if (doc === undefined) fail('EOF');
  const [error] = doc.errors;
  if (error !== undefined) fail(error.message);
  const config = defaultLambdaConfig();
  const root = Value.of(doc, doc.contents, '').map();
  readTriggers(config, root?.get('triggers'));
  for (const [key, value] of root?.get('environment')?.map() ?? []) config.environment[key] = value.text();
  const reuse = root?.get('reuse-sandbox');
  if (reuse !== undefined && !reuse.isNull) config.reuseSandbox = reuse.boolean();
  const limits = root?.get('limits')?.map();
  for (const key of Object.keys(LIMIT_MIN) as (keyof LambdaLimits)[]) {
    const value = limits?.get(key);
    if (value !== undefined && !value.isNull) config.limits[key] = value.integer(LIMIT_MIN[key], LIMIT_MAX[key]);
  }
  return config;
}

function readTriggers(config: LambdaConfig, node: Value | undefined): void {
  const triggers = node?.map();
  // A key that is present but null or empty denies every method: so the original behaves.
  const http = triggers?.get('http');
  if (http !== undefined) {
    config.triggers.http = http.list().map((item) => ({ method: item.map()?.get('method')?.text() ?? '' }));
  }
  const cron = triggers?.get('cron');
  if (cron !== undefined && !cron.isNull) {
    config.triggers.cron = cron.list().map((item) => ({ schedule: item.map()?.get('schedule')?.text() ?? '' }));
  }
  const kafka = triggers?.get('kafka');
  if (kafka !== undefined && !kafka.isNull) {
    config.triggers.kafka = kafka.list().map((item) => {
      const fields = item.map();
      const texts = (key: string): string[] =>
        fields
          ?.get(key)
          ?.list()
          .map((entry) => entry.text()) ?? [];
      return {
        bootstrapServers: texts('bootstrap_servers'),
        topics: texts('topics'),
        autoOffsetReset: fields?.get('auto_offset_reset')?.text() ?? '',
      };
    });
  }
}
