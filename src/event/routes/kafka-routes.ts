/** `/kafka/register/<name>` of the original worker, and `/kafka-init` and `/kafka-stop`, which its boss calls. */
import type { Request, RequestHandler } from 'express';
import { z } from 'zod';
import { ArgyleError, asArgyleError, type ErrorCode } from '../../errors';
import type { KafkaTrigger } from '../../lambda/code/lambda-config';
import { checkLambdaName } from '../../lambda/code/name';
import { decodePath, splitTarget } from '../http/mux';
import type { EventLog, FunctionRegistry, TriggerHost } from '../ports';
import { logFailure, sendError, sendJson, sendThrown } from '../http/replies';

/** Maximum number of bytes of trigger JSON. */
const MAX_TRIGGER_BYTES = 1 << 20;

export interface KafkaDeps {
  registry: FunctionRegistry;
  triggers: TriggerHost;
  log: EventLog;
}

function nameBehind(req: Request, prefix: string): string {
  const name = decodePath(splitTarget(req.url).path).slice(prefix.length);
  if (name === '') throw new ArgyleError('LAMBDA_NAME', 'lambda name required');
  checkLambdaName(name);
  return name;
}

/** The answer to a request that a handler refuses. */
interface Refusal {
  status: number;
  message: string;
  code?: ErrorCode;
}

/** @returns the message of the success, or why the request is refused */
type Handler = (lambda: string, req: Request) => Promise<string | Refusal>;

const UNREGISTERED = 'Kafka consumers unregistered';
const registered = ({ length }: readonly KafkaTrigger[]): string =>
  `Kafka consumers registered for ${length} trigger(s)`;

/** The route of `prefix`, whose remainder is the function's name. */
function route(log: EventLog, prefix: string, handlers: Readonly<Record<string, Handler>>): RequestHandler {
  return async (req, res) => {
    try {
      const lambda = nameBehind(req, prefix);
      const handler = Object.hasOwn(handlers, req.method) ? handlers[req.method] : undefined;
      const result = (await handler?.(lambda, req)) ?? { status: 405, message: 'method not allowed' };
      if (typeof result === 'string') sendJson(res, 200, { status: 'success', lambda, message: result });
      else sendError(res, result.status, result.message, result.code);
    } catch (thrown) {
      const error = asArgyleError('INTERNAL', thrown);
      const isBadName = error.code === 'LAMBDA_NAME';
      logFailure(log, error, { url: req.url.slice(0, 200) }, isBadName ? 400 : error.status);
      if (isBadName) sendError(res, 400, error.message, error.code);
      else sendThrown(res, error);
    }
  };
}

export function kafkaRegisterRoute({ registry, triggers, log }: KafkaDeps): RequestHandler {
  return route(log, '/kafka/register/', {
    POST: async (lambda) => {
      const config = await registry.config(lambda);
      if (config === undefined) {
        return { status: 404, message: `lambda ${lambda} not found`, code: 'LAMBDA_NOT_FOUND' };
      }
      const kafka = config.triggers.kafka ?? [];
      if (kafka.length === 0) return { status: 400, message: 'lambda has no Kafka triggers' };
      await triggers.register(lambda, kafka);
      return registered(kafka);
    },
    DELETE: async (lambda) => {
      await triggers.unregister(lambda);
      return UNREGISTERED;
    },
  });
}

export function kafkaInitRoute({ triggers, log }: KafkaDeps): RequestHandler {
  return route(log, '/kafka-init/', {
    POST: async (lambda, req) => {
      const kafka = parseTriggers(await readBody(req));
      if (typeof kafka === 'string') return { status: 400, message: kafka };
      // The boss sends the triggers of a function one by one, after one /kafka-stop.
      await triggers.add(lambda, kafka);
      return registered(kafka);
    },
  });
}

export function kafkaStopRoute({ triggers, log }: KafkaDeps): RequestHandler {
  return route(log, '/kafka-stop/', {
    POST: async (lambda) => {
      await triggers.unregister(lambda);
      return UNREGISTERED;
    },
  });
}

async function readBody(req: Request): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of req.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).length;
    if (bytes > MAX_TRIGGER_BYTES) return undefined;
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

const texts = z.array(z.string()).nullish();
const TRIGGER = z.object({ bootstrapservers: texts, topics: texts, autooffsetreset: z.string().nullish() });

/**
 * Normalises keys by removing case and underscores, so that Go's field names, YAML's and camel case are all accepted.
 */
function plainKeys(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key.toLowerCase().replaceAll('_', ''), item]));
}

/** Accepts one trigger, a list of triggers, or an object with a function's triggers of all kinds. */
function triggerList(json: unknown): unknown[] {
  // Go's encoder writes a nil slice as null.
  if (json === null) return [];
  if (Array.isArray(json)) return json.map(plainKeys);
  const plain = plainKeys(json);
  if (typeof plain === 'object' && plain !== null && 'kafka' in plain) return triggerList(plain.kafka);
  return [plain];
}

/** Parses the boss's trigger JSON. A returned text describes the error. */
export function parseTriggers(body: string | undefined): KafkaTrigger[] | string {
  if (body === undefined) return `trigger JSON is larger than ${MAX_TRIGGER_BYTES} bytes`;
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return 'trigger is not valid JSON';
  }
  const result = z.array(TRIGGER).safeParse(triggerList(json));
  if (!result.success) {
    const [issue] = result.error.issues;
    return `invalid Kafka trigger: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`;
  }
  return result.data.map((trigger) => ({
    bootstrapServers: trigger.bootstrapservers ?? [],
    topics: trigger.topics ?? [],
    autoOffsetReset: trigger.autooffsetreset ?? '',
  }));
}
