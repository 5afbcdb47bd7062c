/** A Kafka consumer for one function and one set of brokers. The first consumer loads the client library. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Consumer, EachBatchPayload, Kafka as KafkaClient, logLevel } from 'kafkajs';
import type { Stats } from '../../metrics';
import type { EventLog, Invoker } from '../ports';
import { MessageCache } from './cache';
import { deliver, type Delivered, type Message } from './delivery';
import { handleMessage } from './partition';

export interface KafkaSettings {
  /** Messages cached per partition; 0 disables the cache. */
  cacheSize: number;
  sessionTimeoutMs: number;
  heartbeatIntervalMs: number;
  pollTimeoutMs: number;
  commitFailed: boolean;
}

export interface ConsumerOptions {
  lambda: string;
  brokers: string[];
  /** Topics to consume. `true`: starts at the earliest message where the group has committed no offset. */
  topics: ReadonlyMap<string, boolean>;
  settings: KafkaSettings;
  invoker: Invoker;
  log: EventLog;
  stats?: Stats;
}

/** Partitions of one function that are handled at the same time. */
const PARTITIONS_AT_ONCE = 8;
const CONNECT_MS = 3000;
/** Retries of a refused or lost connection before a new consumer is made. */
const CONNECT_RETRIES = 3;
const BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 30_000;
/** The first back-off is already doubled this many times, because the client library has retried this often before. */
const FIRST_WAIT = CONNECT_RETRIES;

export interface ConsumerStatus {
  lambda: string;
  brokers: string[];
  topics: string[];
  /** `waiting`: the brokers do not answer, or the consumer has not joined the group. */
  state: 'waiting' | 'running';
  /** The last error, while the consumer is waiting. */
  error?: string;
}

export class TopicConsumer {
  readonly group: string;
  private readonly stopping = new AbortController();
  private readonly caches = new Map<string, MessageCache<Message>>();
  private consumer: Consumer | undefined;
  private loop: Promise<void> | undefined;
  private state: ConsumerStatus['state'] = 'waiting';
  private lastError: string | undefined;

  constructor(private readonly options: ConsumerOptions) {
    this.group = `lambda-${options.lambda}`;
  }

  /** The consumer's state, and the last error that kept it from consuming. */
  get status(): ConsumerStatus {
    const { lambda, brokers, topics } = this.options;
    const error = this.lastError === undefined ? {} : { error: this.lastError };
    return { lambda, brokers, topics: [...topics.keys()], state: this.state, ...error };
  }

  /** Whether the consumer runs for exactly these topics. */
  isRunningFor(topics: ReadonlyMap<string, boolean>): boolean {
    const own = this.options.topics;
    const same = own.size === topics.size && [...topics].every(([topic, earliest]) => own.get(topic) === earliest);
    return same && this.state === 'running';
  }

  /**
   * Joins the group as soon as the brokers answer, with unlimited retries, and then handles messages. Returns at once,
   * as the original does.
   */
  start(): void {
    this.loop ??= this.keepJoining();
  }

  private async keepJoining(): Promise<void> {
    for (let attempt = 1; !this.isStopping(); attempt++) {
      try {
        await this.join();
        return;
      } catch (thrown) {
        if (this.isStopping()) return;
        this.failed(thrown);
        await this.leave();
        await this.backoff(attempt + FIRST_WAIT);
      }
    }
  }

  private isStopping(): boolean {
    return this.stopping.signal.aborted;
  }

  private failed(thrown: unknown): void {
    const { lambda, brokers, log } = this.options;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    this.state = 'waiting';
    if (why !== this.lastError) log.warn({ lambda, brokers, why }, 'Kafka brokers do not answer, they are tried again');
    this.lastError = why;
  }

  private async join(): Promise<void> {
    const { topics, settings } = this.options;
    const client = await this.client();
    const consumer = client.consumer({
      groupId: this.group,
      sessionTimeout: settings.sessionTimeoutMs,
      heartbeatInterval: settings.heartbeatIntervalMs,
      maxWaitTimeInMs: settings.pollTimeoutMs,
      retry: { retries: CONNECT_RETRIES, restartOnFailure: () => Promise.resolve(!this.stopping.signal.aborted) },
    });
    this.consumer = consumer;
    consumer.on(consumer.events.GROUP_JOIN, () => {
      // During a rebalance another member may have consumed messages that the cache lacks.
      this.caches.clear();
      this.state = 'running';
      this.lastError = undefined;
    });
    consumer.on(consumer.events.CRASH, ({ payload }) => {
      this.failed(payload.error);
    });
    await consumer.connect();
    for (const [topic, fromBeginning] of topics) await consumer.subscribe({ topic, fromBeginning });
    await consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: PARTITIONS_AT_ONCE,
      eachBatch: (payload) => this.batch(consumer, payload),
    });
  }

  /** Cancels the messages in progress without committing them, and leaves the group. Never rejects. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.leave();
    await this.loop;
    // The consumer may have joined the group during the wait.
    await this.leave();
  }

  private async leave(): Promise<void> {
    try {
      await this.consumer?.disconnect();
    } catch (err) {
      this.options.log.warn({ err, group: this.group }, 'a Kafka consumer did not leave its group properly');
    }
  }

  private async client(): Promise<KafkaClient> {
    const { Kafka, logLevel } = await import('kafkajs');
    const { brokers, log, lambda } = this.options;
    const creator = () => (entry: { level: logLevel; log: { message: string } }) => {
      const fields = { lambda, kafka: entry.log };
      if (entry.level <= logLevel.WARN) log.warn(fields, entry.log.message);
      else log.debug(fields, entry.log.message);
    };
    return new Kafka({
      clientId: 'argyle',
      brokers,
      connectionTimeout: CONNECT_MS,
      retry: { retries: CONNECT_RETRIES },
      logLevel: logLevel.INFO,
      logCreator: creator,
    });
  }

  private async batch(consumer: Consumer, payload: EachBatchPayload): Promise<void> {
    const { topic, partition, messages } = payload.batch;
    const { settings, log } = this.options;
    const stopped = (): boolean => this.stopping.signal.aborted || !payload.isRunning() || payload.isStale();
    const beat = setInterval(() => void payload.heartbeat().catch(() => undefined), settings.heartbeatIntervalMs);
    try {
      for (const message of messages) {
        if (stopped()) return;
        const goOn = await handleMessage(
          { topic, partition, offset: message.offset, value: message.value },
          {
            cache: this.cacheOf(topic, partition),
            commitFailed: settings.commitFailed,
            deliver: (next) => this.deliver(next),
            commit: (offset) => consumer.commitOffsets([{ topic, partition, offset }]),
            seek: (offset) => {
              consumer.seek({ topic, partition, offset });
            },
            backoff: (attempt) => this.backoff(attempt),
            stopped,
            onFailure: (failed, why, attempt) => {
              log.warn({ group: this.group, topic, partition, offset: failed.offset, attempt, why }, 'message failed');
            },
          },
        );
        if (!goOn) return;
        payload.resolveOffset(message.offset);
      }
    } finally {
      clearInterval(beat);
    }
  }

  private async deliver(message: Message): Promise<Delivered> {
    const { invoker, lambda, stats } = this.options;
    const startMs = performance.now();
    const outcome = await deliver(invoker, lambda, this.group, message, this.stopping.signal);
    stats?.record('kafka-message-processing', performance.now() - startMs);
    return outcome;
  }

  private cacheOf(topic: string, partition: number): MessageCache<Message> | undefined {
    const { cacheSize } = this.options.settings;
    if (cacheSize === 0) return undefined;
    const key = `${partition} ${topic}`;
    const cache = this.caches.get(key) ?? new MessageCache<Message>(cacheSize);
    this.caches.set(key, cache);
    return cache;
  }

  private async backoff(attempt: number): Promise<void> {
    const ms = Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** Math.min(attempt - 1, 10));
    await sleep(ms, undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }
}
