/** The Kafka triggers of all functions, by the function's exact name. */
import type { Config } from '../../config/types';
import { ArgyleError } from '../../errors';
import type { KafkaTrigger } from '../../lambda/lambda-config';
import type { EventLog, Invoker, TriggerHost } from '../ports';
import { TopicConsumer, type ConsumerStatus, type KafkaSettings } from './consumer';
import type { Registrations } from './registrations';

/** Go's zero values stand for "not set" in config.json; these are the contract's defaults, s. */
const DEFAULTS = { session: 10, heartbeat: 3, poll: 1 };

export function kafkaSettings(kafka: Config['kafka']): KafkaSettings {
  const ms = (seconds: number, fallback: number): number => (seconds === 0 ? fallback : seconds) * 1000;
  return {
    cacheSize: kafka.cache_enabled ? kafka.cache_size : 0,
    sessionTimeoutMs: ms(kafka.session_timeout_sec, DEFAULTS.session),
    heartbeatIntervalMs: ms(kafka.heartbeat_interval_sec, DEFAULTS.heartbeat),
    pollTimeoutMs: ms(kafka.poll_timeout_sec, DEFAULTS.poll),
    commitFailed: kafka.commit_failed,
  };
}

/**
 * Triggers on the same brokers share one consumer: members of one group must not subscribe to different topics.
 * @returns for each set of brokers its topics, and whether each is read from its beginning
 * @throws ArgyleError TRIGGER for a trigger without brokers or topics
 */
export function byBrokers(triggers: readonly KafkaTrigger[]): Map<string, Map<string, boolean>> {
  const found = new Map<string, Map<string, boolean>>();
  triggers.forEach(({ bootstrapServers, topics, autoOffsetReset }, index) => {
    const at = `kafka[${index}]`;
    if (bootstrapServers.length === 0) throw missing(`${at}.bootstrap_servers`);
    if (topics.length === 0) throw missing(`${at}.topics`);
    const key = [...new Set(bootstrapServers)].sort().join(',');
    const known = found.get(key) ?? new Map<string, boolean>();
    for (const topic of topics) known.set(topic, autoOffsetReset === 'earliest');
    found.set(key, known);
  });
  return found;
}

function missing(field: string): ArgyleError {
  return new ArgyleError('TRIGGER', `${field} is empty`, { field });
}

/** Joins new triggers to those that are there; one for a topic of the same brokers replaces the old. Pure. */
export function joined(old: readonly KafkaTrigger[], added: readonly KafkaTrigger[]): KafkaTrigger[] {
  const brokersOf = ({ bootstrapServers }: KafkaTrigger): string => [...new Set(bootstrapServers)].sort().join(',');
  const replaced = (trigger: KafkaTrigger): boolean =>
    added.some(
      (other) =>
        brokersOf(other) === brokersOf(trigger) && trigger.topics.every((topic) => other.topics.includes(topic)),
    );
  return [...old.filter((trigger) => !replaced(trigger)), ...added];
}

export interface TriggersDeps {
  invoker: Invoker;
  settings: KafkaSettings;
  log: EventLog;
  /** Keeps registrations beyond the worker's life. */
  kept?: Pick<Registrations, 'load' | 'save'>;
}

export class KafkaTriggers implements TriggerHost {
  private readonly consumers = new Map<string, Map<string, TopicConsumer>>();
  private readonly registered = new Map<string, readonly KafkaTrigger[]>();
  /** Tail of each function's queue of changes: they must not overtake each other. */
  private readonly changes = new Map<string, Promise<unknown>>();
  private closed = false;

  constructor(private readonly deps: TriggersDeps) {}

  async register(name: string, triggers: readonly KafkaTrigger[]): Promise<void> {
    byBrokers(triggers);
    await this.change(name, () => this.set(name, triggers));
  }

  async add(name: string, triggers: readonly KafkaTrigger[]): Promise<void> {
    byBrokers(triggers);
    await this.change(name, () => this.set(name, joined(this.registered.get(name) ?? [], triggers)));
  }

  async unregister(name: string): Promise<void> {
    await this.change(name, async () => {
      if (this.registered.delete(name)) await this.save();
      await this.stop(name);
    });
  }

  /** Registers what an earlier worker had registered, for functions that are still there. Never rejects. */
  async restore(exists: (name: string) => Promise<boolean>): Promise<void> {
    const { kept, log } = this.deps;
    try {
      for (const [name, triggers] of (await kept?.load()) ?? []) {
        // Whoever has registered it meanwhile knows better.
        if (this.registered.has(name) || this.closed || !(await exists(name))) continue;
        await this.register(name, triggers);
      }
    } catch (err) {
      log.warn({ err }, 'Kafka registrations of the last run could not be restored: register them again');
    }
  }

  /** What each consumer does. */
  get status(): ConsumerStatus[] {
    return [...this.consumers.values()].flatMap((own) => [...own.values()].map(({ status }) => status));
  }

  /** One description a consumer, for /debug. */
  debug(): string[] {
    return this.status.map(({ lambda, brokers, topics, state, error }) => {
      const lines = [`KAFKA ${lambda}`, `BROKERS: ${brokers.join(',')}`, `TOPICS: ${topics.join(',')}`];
      return [...lines, `STATE: ${state}`, ...(error === undefined ? [] : [`ERROR: ${error}`]), ''].join('\n');
    });
  }

  /** Ends all consumers and refuses new ones; what is registered stays so for the next worker. */
  async close(): Promise<void> {
    this.closed = true;
    await Promise.all(this.changes.values());
    await Promise.all([...this.consumers.keys()].map((name) => this.stop(name)));
  }

  private async set(name: string, triggers: readonly KafkaTrigger[]): Promise<void> {
    if (this.closed) throw new ArgyleError('SHUTTING_DOWN', 'the worker is shutting down');
    const wanted = byBrokers(triggers);
    const old = this.consumers.get(name) ?? new Map<string, TopicConsumer>();
    const made = new Map<string, TopicConsumer>();
    for (const [brokers, topics] of wanted) {
      const running = old.get(brokers);
      if (running?.isRunningFor(topics) === true) made.set(brokers, running);
    }
    await Promise.all([...old.values()].filter((one) => ![...made.values()].includes(one)).map((one) => one.stop()));
    for (const [brokers, topics] of wanted) {
      if (made.has(brokers)) continue;
      const consumer = new TopicConsumer({ lambda: name, brokers: brokers.split(','), topics, ...this.deps });
      made.set(brokers, consumer);
      consumer.start();
    }
    this.consumers.set(name, made);
    this.registered.set(name, triggers);
    await this.save();
  }

  /** POLICY: a registration that could not be kept holds for this worker's life, and the log tells. */
  private async save(): Promise<void> {
    await this.deps.kept?.save(this.registered).catch((err: unknown) => {
      this.deps.log.warn({ err }, 'Kafka registrations could not be kept: after a restart they are gone');
    });
  }

  private async stop(name: string): Promise<void> {
    const old = this.consumers.get(name);
    this.consumers.delete(name);
    await Promise.all([...(old?.values() ?? [])].map((consumer) => consumer.stop()));
  }

  private async change(name: string, step: () => Promise<void>): Promise<void> {
    const run = (this.changes.get(name) ?? Promise.resolve()).then(step);
    const settled = run.catch(() => undefined);
    this.changes.set(name, settled);
    try {
      await run;
    } finally {
      if (this.changes.get(name) === settled) this.changes.delete(name);
    }
  }
}
