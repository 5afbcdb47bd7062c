/**
 * Parses ol.yaml. As in the original, unknown keys have no effect; they are reported. A value of the wrong kind is an
 * error with the name of the field. Values of the environment keep their text: `1.10` stays `1.10`.
 */
import type { LambdaConfig } from '../lambda-config';
import { defaultLambdaConfig } from '../lambda-config';
import { MAX_SECRETS, SECRET_NAME } from '../secrets';
import { checkRuntime, type RuntimeRules } from './runtimes';
import { readLimits, type LimitRules, NO_RULES } from './limits';
import { readConcurrency, readScale, type ScaleRules } from './scale';
import { reportUnknownKeys } from './unknown-keys';
import { fail, parseYaml, type Value } from './yaml-value';

/** Largest accepted ol.yaml, in bytes. The parser holds the file in memory. */
export const MAX_OL_YAML_BYTES = 256 * 1024;
/** Maximum number of triggers of a kind, and of variables in an environment. */
const MAX_ITEMS = 1000;

export interface OlYamlRules extends LimitRules, RuntimeRules, ScaleRules {
  /** Called for each other key without an effect. */
  onIgnored?: (message: string) => void;
}

/**
 * Parses the text of an ol.yaml.
 * @param rules what an operator allows, whether unknown names in `limits` and `scale` are an error, and the callback
 *   for other unknown keys
 * @throws ArgyleError LAMBDA_CONFIG; for an empty or comment-only file the message ends with `EOF`
 */
export function parseOlYaml(text: string, rules: OlYamlRules = NO_RULES): LambdaConfig {
  const config = defaultLambdaConfig();
  const document = parseYaml(text, MAX_OL_YAML_BYTES);
  const root = document.map();
  readTriggers(config, root?.get('triggers'));
  const environment = [...(root?.get('environment')?.map() ?? [])];
  if (environment.length > MAX_ITEMS) fail(`environment has more than ${MAX_ITEMS} variables`, 'environment');
  for (const [key, value] of environment) config.environment[variableName(key)] = value.text();
  config.secrets = secretNames(root?.get('secrets'));
  const reuse = root?.get('reuse-sandbox');
  if (reuse !== undefined && !reuse.isNull) config.reuseSandbox = reuse.boolean();
  const runtime = root?.get('runtime');
  const base = runtime === undefined || runtime.isNull ? undefined : checkRuntime(runtime.text(), rules);
  if (base !== undefined) config.base = base;
  config.limits = readLimits(root?.get('limits')?.map(), rules);
  const scale = readScale(root?.get('scale')?.map(), rules);
  if (scale !== undefined) config.scale = scale;
  const concurrency = readConcurrency(root?.get('concurrency'));
  if (concurrency > 1) config.concurrency = concurrency;
  checkTogether(config);
  if (rules.onIgnored !== undefined) reportUnknownKeys(document, rules.onIgnored);
  return config;
}

/** Refuses settings that exclude each other. @throws ArgyleError LAMBDA_CONFIG */
function checkTogether({ reuseSandbox, scale, concurrency = 1 }: LambdaConfig): void {
  if (reuseSandbox) return;
  const words = 'needs sandboxes that serve more than one request, but reuse-sandbox is false';
  if (concurrency > 1) fail(`concurrency ${words}`, 'concurrency', String(concurrency));
  const min = scale?.min ?? 0;
  if (min > 0) fail(`scale.min ${words}`, 'scale.min', String(min));
}

/** Checks the name of a variable. The message is the original's. */
function variableName(key: string): string {
  if (key === '') fail('Environment variable key cannot be empty', 'environment');
  if (key.includes('=')) fail(`Environment variable key '${key}' cannot contain '='`, 'environment');
  return key;
}

/** Names of secrets, without duplicates. */
function secretNames(list: Value | undefined): string[] {
  if (list === undefined || list.isNull) return [];
  const names = [...new Set(list.list().map((item) => item.text()))];
  if (names.length > MAX_SECRETS) fail(`secrets has more than ${MAX_SECRETS} names`, 'secrets');
  const bad = names.find((name) => !SECRET_NAME.test(name));
  if (bad !== undefined) {
    fail(
      `secrets: "${bad.slice(0, 100)}" is no name of a secret: use letters, digits and _, as in DB_PASSWORD`,
      'secrets',
    );
  }
  return names;
}

/** Elements of a list of triggers. */
function items(list: Value): Value[] {
  const found = list.list();
  if (found.length > MAX_ITEMS) fail(`${list.path} has more than ${MAX_ITEMS} entries`, list.path);
  return found;
}

function readTriggers(config: LambdaConfig, node: Value | undefined): void {
  const triggers = node?.map();
  // A key with null or an empty value denies every method, as in the original.
  const http = triggers?.get('http');
  if (http !== undefined) {
    config.triggers.http = items(http).map((item) => ({ method: item.map()?.get('method')?.text() ?? '' }));
    if (config.triggers.http.some(({ method }) => method === ''))
      fail('HTTP trigger method cannot be empty', 'triggers.http');
  }
  const cron = triggers?.get('cron');
  if (cron !== undefined && !cron.isNull) {
    config.triggers.cron = items(cron).map((item) => ({ schedule: item.map()?.get('schedule')?.text() ?? '' }));
    if (config.triggers.cron.some(({ schedule }) => schedule === ''))
      fail('Cron trigger schedule cannot be empty', 'triggers.cron');
  }
  const kafka = triggers?.get('kafka');
  if (kafka !== undefined && !kafka.isNull) {
    config.triggers.kafka = items(kafka).map((item) => {
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
    for (const { topics, bootstrapServers } of config.triggers.kafka) {
      if (topics.length === 0) fail('Kafka trigger must have at least one topic', 'triggers.kafka');
      if (bootstrapServers.length === 0)
        fail('Kafka trigger must specify at least one bootstrap server', 'triggers.kafka');
    }
  }
}
