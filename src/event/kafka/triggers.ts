/** The Kafka triggers of all functions, by the function's exact name. */
import type { Config } from '../../config/types';
import { ArgyleError } from '../../errors';
import type { KafkaTrigger } from '../../lambda/code/lambda-config';
import type { Stats } from '../../metrics';
import type { EventLog, Invoker, TriggerHost } from '../ports';
import { TopicConsumer, type ConsumerStatus, type KafkaSettings } from './consumer';
import type { Registrations } from './registrations';

/** The contract's defaults, s. config.json uses Go's zero values for "not set". */
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
 * Groups triggers by brokers. Triggers on the same brokers share one consumer, since members of one group must not
 * subscribe to different topics.
 * @returns for each set of brokers, its topics, and whether each topic is read from its beginning
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

/** Merges new triggers into the old ones. A new trigger replaces the old one for the same topic and brokers. Pure. */
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
  stats?: Stats;
  /** Persists registrations across restarts. */
  kept?: Pick<Registrations, 'load' | 'save'>;
}

export class KafkaTriggers implements TriggerHost {
  private readonly consumers = new Map<string, Map<string, TopicConsumer>>();
  private readonly registered = new Map<string, readonly KafkaTrigger[]>();
  /** Last pending change of each function. Changes of one function run in order. */
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

  /** Restores the triggers of functions that still exist. Never rejects. */
  async restore(exists: (name: string) => Promise<boolean>): Promise<void> {
    const { kept, log } = this.deps;
    try {
      for (const [name, triggers] of (await kept?.load()) ?? []) {
        // A registration made in the meantime takes precedence.
        if (this.registered.has(name) || this.closed || !(await exists(name))) continue;
        await this.register(name, triggers);
      }
    } catch (err) {
      log.warn({ err }, 'Kafka registrations of the last run could not be restored: register them again');
    }
  }

  /** The state of each consumer. */
  get status(): ConsumerStatus[] {
    return [...this.consumers.values()].flatMap((own) => [...own.values()].map(({ status }) => status));
  }

  /** One description per consumer, for /debug. */
  debug(): string[] {
    return this.status.map(({ lambda, brokers, topics, state, error }) => {
      const lines = [`KAFKA ${lambda}`, `BROKERS: ${brokers.join(',')}`, `TOPICS: ${topics.join(',')}`];
      return [...lines, `STATE: ${state}`, ...(error === undefined ? [] : [`ERROR: ${error}`]), ''].join('\n');
    });
  }

  /** Stops all consumers and refuses new ones. The stored registrations stay for the next worker. */
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

  /** POLICY: when a save fails, the registration is valid until the worker ends, and the log has a warning. */
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
