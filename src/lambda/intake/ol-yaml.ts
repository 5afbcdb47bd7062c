/**
 * Parses ol.yaml. Keys that nobody knows are ignored, as in the original; values of the wrong kind are an error that
 * names the field. Environment values keep the text they were written with: `1.10` stays `1.10`.
 */
import type { LambdaConfig } from '../lambda-config';
import { defaultLambdaConfig } from '../lambda-config';
import { checkRuntime, type RuntimeRules } from './runtimes';
import { readLimits, type LimitRules, NO_RULES } from './limits';
import { fail, parseYaml, type Value } from './yaml-value';

/** Largest accepted ol.yaml in bytes; the parser holds it in memory. */
export const MAX_OL_YAML_BYTES = 256 * 1024;
/** Most triggers of a kind, and most variables of an environment. */
const MAX_ITEMS = 1000;

/**
 * Parses the text of an ol.yaml.
 * @param rules what an operator allows, and whether unknown limits are an error
 * @throws ArgyleError LAMBDA_CONFIG; an empty or comment-only file ends in `EOF`
 */
export function parseOlYaml(text: string, rules: LimitRules & RuntimeRules = NO_RULES): LambdaConfig {
  const config = defaultLambdaConfig();
  const root = parseYaml(text, MAX_OL_YAML_BYTES).map();
  readTriggers(config, root?.get('triggers'));
  const environment = [...(root?.get('environment')?.map() ?? [])];
  if (environment.length > MAX_ITEMS) fail(`environment has more than ${MAX_ITEMS} variables`, 'environment');
  for (const [key, value] of environment) config.environment[key] = value.text();
  const reuse = root?.get('reuse-sandbox');
  if (reuse !== undefined && !reuse.isNull) config.reuseSandbox = reuse.boolean();
  const runtime = root?.get('runtime');
  const base = runtime === undefined || runtime.isNull ? undefined : checkRuntime(runtime.text(), rules);
  if (base !== undefined) config.base = base;
  config.limits = readLimits(root?.get('limits')?.map(), rules);
  return config;
}

/** Elements of a list of triggers. */
function items(list: Value): Value[] {
  const found = list.list();
  if (found.length > MAX_ITEMS) fail(`${list.path} has more than ${MAX_ITEMS} entries`, list.path);
  return found;
}

function readTriggers(config: LambdaConfig, node: Value | undefined): void {
  const triggers = node?.map();
  // A key that is present but null or empty denies every method: so the original behaves.
  const http = triggers?.get('http');
  if (http !== undefined) {
    config.triggers.http = items(http).map((item) => ({ method: item.map()?.get('method')?.text() ?? '' }));
  }
  const cron = triggers?.get('cron');
  if (cron !== undefined && !cron.isNull) {
    config.triggers.cron = items(cron).map((item) => ({ schedule: item.map()?.get('schedule')?.text() ?? '' }));
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
  }
}
