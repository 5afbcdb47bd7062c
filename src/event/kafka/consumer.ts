/** A Kafka consumer on behalf of one function, on one set of brokers. The client library is loaded with the first one. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Consumer, EachBatchPayload, Kafka as KafkaClient, logLevel } from 'kafkajs';
import { asArgyleError } from '../../errors';
import type { EventLog, Invoker } from '../ports';
import { MessageCache } from './cache';
import { deliver, type Message } from './delivery';
import { handleMessage } from './partition';

export interface KafkaSettings {
  /** Messages kept for each partition; 0 keeps none. */
  cacheSize: number;
  sessionTimeoutMs: number;
  heartbeatIntervalMs: number;
  pollTimeoutMs: number;
  commitFailed: boolean;
}

export interface ConsumerOptions {
  lambda: string;
  brokers: string[];
  /** `true`: from the earliest message where the group has committed nothing. */
  topics: ReadonlyMap<string, boolean>;
  settings: KafkaSettings;
  invoker: Invoker;
  log: EventLog;
}

/** Partitions of one function that are worked on at the same time. */
const PARTITIONS_AT_ONCE = 8;
const CONNECT_MS = 3000;
/** A refused or lost connection is tried again this often before register() fails. */
const CONNECT_RETRIES = 3;
const BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 30_000;

export class TopicConsumer {
  readonly group: string;
  private readonly stopping = new AbortController();
  private readonly caches = new Map<string, MessageCache<Message>>();
  private consumer: Consumer | undefined;

  constructor(private readonly options: ConsumerOptions) {
    this.group = `lambda-${options.lambda}`;
  }

  /** Joins the group; messages are handled from then on. @throws ArgyleError TRIGGER */
  async start(): Promise<void> {
    const { topics, settings, brokers } = this.options;
    try {
      const client = await this.client();
      const consumer = client.consumer({
        groupId: this.group,
        sessionTimeout: settings.sessionTimeoutMs,
        heartbeatInterval: settings.heartbeatIntervalMs,
        maxWaitTimeInMs: settings.pollTimeoutMs,
        retry: { retries: CONNECT_RETRIES, restartOnFailure: () => Promise.resolve(!this.stopping.signal.aborted) },
      });
      this.consumer = consumer;
      // After a rebalance another member may have consumed what is missing here.
      consumer.on(consumer.events.GROUP_JOIN, () => {
        this.caches.clear();
      });
      await consumer.connect();
      for (const [topic, fromBeginning] of topics) await consumer.subscribe({ topic, fromBeginning });
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: PARTITIONS_AT_ONCE,
        eachBatch: (payload) => this.batch(consumer, payload),
      });
    } catch (thrown) {
      await this.stop();
      const error = asArgyleError('TRIGGER', thrown);
      error.message = `Kafka consumer for ${brokers.join(',')}: ${error.message}`;
      throw error;
    }
  }

  /** Cancels what is being handled, without committing it, and leaves the group. Never rejects. */
  async stop(): Promise<void> {
    this.stopping.abort();
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
            deliver: (next) =>
              deliver(this.options.invoker, this.options.lambda, this.group, next, this.stopping.signal),
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
