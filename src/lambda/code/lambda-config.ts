/** The parsed contents of an ol.yaml. */

export interface HttpTrigger {
  /** Exact, case-sensitive method, or `*`. */
  method: string;
}

export interface CronTrigger {
  schedule: string;
}

export interface KafkaTrigger {
  bootstrapServers: string[];
  topics: string[];
  /** `earliest`; with any other value, reading starts at the latest message. */
  autoOffsetReset: string;
}

/** Argyle's own key `limits`: limits of one function's sandboxes. An absent limit is that of config.json. */
export interface LambdaLimits {
  mem_mb?: number;
  procs?: number;
  cpu_percent?: number;
  runtime_sec?: number;
  scratch_mb?: number;
}

/** Argyle's own key `scale`: number of instances of a function; 0 for no bound. */
export interface ScaleConfig {
  /** Instances that are kept ready while the memory pool has room. */
  min: number;
  /** Maximum number of instances. */
  max: number;
}

export interface LambdaConfig {
  triggers: {
    /** An empty list denies every method. */
    http: HttpTrigger[];
    /** undefined when ol.yaml has no cron triggers; the JSON form then has null. */
    cron: CronTrigger[] | undefined;
    kafka: KafkaTrigger[] | undefined;
  };
  environment: Record<string, string>;
  /** Argyle's own key `secrets`: names of the worker's secrets in the function's environment. */
  secrets: string[];
  reuseSandbox: boolean;
  /** Argyle's own key `runtime`: the base of argyle.bases; absent for the worker's own base. */
  base?: string;
  limits: LambdaLimits;
  /** Absent when ol.yaml sets no bound. */
  scale?: ScaleConfig;
  /** Argyle's own key `concurrency`: requests that one instance of an ASGI application serves at once; absent for 1. */
  concurrency?: number;
}

/** The settings of a function without an ol.yaml. */
export function defaultLambdaConfig(): LambdaConfig {
  return {
    triggers: { http: [{ method: '*' }], cron: undefined, kafka: undefined },
    environment: {},
    secrets: [],
    reuseSandbox: true,
    limits: {},
  };
}

/** Whether ol.yaml allows this method. The match is exact, as in the original. */
export function isMethodAllowed(config: LambdaConfig, method: string): boolean {
  return config.triggers.http.some((trigger) => trigger.method === '*' || trigger.method === method);
}

/** The original's message for status 405, with the methods in ol.yaml's order. */
export function methodMessage(config: LambdaConfig, method: string): string {
  const allowed = config.triggers.http.map((trigger) => trigger.method).join(' ');
  return `HTTP method not allowed. Sent: ${method}, Allowed: [${allowed}]`;
}

/** The JSON of `GET /registry/<name>/config`, encoded as Go encodes the original's structure. */
export function configJson(config: LambdaConfig): object {
  const { http, cron, kafka } = config.triggers;
  return {
    Triggers: {
      HTTP: http.map(({ method }) => ({ Method: method })),
      Cron: cron?.map(({ schedule }) => ({ Schedule: schedule })) ?? null,
      Kafka:
        kafka?.map((trigger) => ({
          bootstrap_servers: trigger.bootstrapServers,
          topics: trigger.topics,
          auto_offset_reset: trigger.autoOffsetReset,
        })) ?? null,
    },
    Environment: config.environment,
    ReuseSandbox: config.reuseSandbox,
  };
}
