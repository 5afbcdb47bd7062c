/** The Kafka triggers of all functions, by the function's exact name. */
import type { Config } from '../../config/types';
import { ArgyleError } from '../../errors';
import type { KafkaTrigger } from '../../lambda/lambda-config';
import type { EventLog, Invoker, TriggerHost } from '../ports';
import { TopicConsumer, type KafkaSettings } from './consumer';

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

export class KafkaTriggers implements TriggerHost {
  private readonly consumers = new Map<string, TopicConsumer[]>();
  /** Tail of each function's queue of changes: they must not overtake each other. */
  private readonly changes = new Map<string, Promise<unknown>>();
  private closed = false;

  constructor(private readonly deps: { invoker: Invoker; settings: KafkaSettings; log: EventLog }) {}

  async register(name: string, triggers: readonly KafkaTrigger[]): Promise<void> {
    const wanted = byBrokers(triggers);
    await this.change(name, async () => {
      await this.stop(name);
      if (this.closed) throw new ArgyleError('SHUTTING_DOWN', 'the worker is shutting down');
      const made = [...wanted].map(
        ([brokers, topics]) => new TopicConsumer({ lambda: name, brokers: brokers.split(','), topics, ...this.deps }),
      );
      this.consumers.set(name, made);
      try {
        await Promise.all(made.map((consumer) => consumer.start()));
      } catch (error) {
        await this.stop(name);
        throw error;
      }
    });
  }

  async unregister(name: string): Promise<void> {
    await this.change(name, () => this.stop(name));
  }

  /** Ends all consumers and refuses new ones. */
  async close(): Promise<void> {
    this.closed = true;
    const names = new Set([...this.consumers.keys(), ...this.changes.keys()]);
    // A consumer that is still connecting need not be waited for.
    await Promise.all([...this.consumers.values()].flat().map((consumer) => consumer.stop()));
    await Promise.all([...names].map((name) => this.unregister(name)));
  }

  private async stop(name: string): Promise<void> {
    const old = this.consumers.get(name) ?? [];
    this.consumers.delete(name);
    await Promise.all(old.map((consumer) => consumer.stop()));
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
