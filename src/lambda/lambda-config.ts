/** What an ol.yaml says, parsed. */

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
  /** `earliest`; anything else starts at the latest message. */
  autoOffsetReset: string;
}

/** Ours: limits of one function's sandboxes; what is absent comes from config.json. */
export interface LambdaLimits {
  mem_mb?: number;
  procs?: number;
  cpu_percent?: number;
  runtime_sec?: number;
  scratch_mb?: number;
}

export interface LambdaConfig {
  triggers: {
    /** Empty denies every method. */
    http: HttpTrigger[];
    /** undefined when ol.yaml has none: the JSON form then says null. */
    cron: CronTrigger[] | undefined;
    kafka: KafkaTrigger[] | undefined;
  };
  environment: Record<string, string>;
  reuseSandbox: boolean;
  /** Ours: the base of argyle.bases that it runs in; absent for the worker's own. */
  base?: string;
  limits: LambdaLimits;
}

/** The settings of a function without an ol.yaml. */
export function defaultLambdaConfig(): LambdaConfig {
  return {
    triggers: { http: [{ method: '*' }], cron: undefined, kafka: undefined },
    environment: {},
    reuseSandbox: true,
    limits: {},
  };
}

/** Whether ol.yaml lets this method through; exact match, as in the original. */
export function isMethodAllowed(config: LambdaConfig, method: string): boolean {
  return config.triggers.http.some((trigger) => trigger.method === '*' || trigger.method === method);
}

/** The original's 405 message, methods in ol.yaml's order. */
export function methodMessage(config: LambdaConfig, method: string): string {
  const allowed = config.triggers.http.map((trigger) => trigger.method).join(' ');
  return `HTTP method not allowed. Sent: ${method}, Allowed: [${allowed}]`;
}

/** The JSON of `GET /registry/<name>/config`, as Go encodes the original's structure. */
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
