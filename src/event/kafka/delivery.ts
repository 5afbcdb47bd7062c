/** Delivers one Kafka message as an invocation: POST /run/<name>/ with the message as the body. */
import { randomUUID } from 'node:crypto';
import { Call } from '../../lambda/serve/call/call';
import { InvocationBody, type ResponseSink } from '../../lambda/serve/call/invocation';
import { asArgyleError } from '../../errors';
import type { AnswerHead } from '../../sandbox/answer/head';
import type { Invoker } from '../ports';

export interface Message {
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  readonly value: Buffer | null;
}

/** `failure` is set when the message counts as not handled. `seek` is the offset that the function asked for. */
export interface Delivered {
  failure?: string;
  seek?: string;
}

const SEEK_HEADER = 'x-kafka-seek-offset';

/** Keeps the status and headers of a response and drops its body. */
class HeadSink implements ResponseSink {
  status = 0;
  seek: string | undefined;
  broken: string | undefined;

  start({ status, headers }: AnswerHead): void {
    this.status = status;
    for (let i = 0; i + 1 < headers.length; i += 2) {
      if (headers[i]?.toLowerCase() === SEEK_HEADER) this.seek = headers[i + 1]?.trim();
    }
  }

  write(): boolean {
    return true;
  }

  onDrain(resume: () => void): void {
    resume();
  }

  end(): void {
    // Nothing to do: the status and headers are complete.
  }

  fail(text: string): void {
    this.broken ??= text;
  }
}

/**
 * Calls the function. Never rejects. A failure is a status of 400 or above, a broken response, or an error of the
 * worker, such as a method that the function does not allow.
 */
export async function deliver(
  invoker: Invoker,
  lambda: string,
  group: string,
  message: Message,
  signal: AbortSignal,
): Promise<Delivered> {
  const sink = new HeadSink();
  const body = message.value ?? Buffer.alloc(0);
  const call = new Call(randomUUID(), 'kafka');
  const headers = [
    'X-Request-Id',
    call.id,
    'Content-Type',
    'application/json',
    'Content-Length',
    String(body.length),
    'X-Kafka-Topic',
    message.topic,
    'X-Kafka-Partition',
    String(message.partition),
    'X-Kafka-Offset',
    message.offset,
    'X-Kafka-Group-Id',
    group,
  ];
  const uri = `/run/${encodeURIComponent(lambda)}/`;
  const request = { method: 'POST', uri, headers, body: InvocationBody.of(body), sink, signal } as const;
  try {
    await invoker.invoke(lambda, { call, ...request, unattended: true });
  } catch (thrown) {
    return { failure: asArgyleError('INTERNAL', thrown).message };
  }
  if (sink.broken !== undefined) return { failure: sink.broken };
  if (sink.status < 200 || sink.status >= 400) return { failure: `the function answered with status ${sink.status}` };
  return sink.seek !== undefined && /^\d{1,19}$/.test(sink.seek) ? { seek: sink.seek } : {};
}
