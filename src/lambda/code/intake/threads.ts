/** Threads that unpack and parse archives. A job that exceeds its time or memory ends with its thread. */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { ArgyleError, diskFull, type ErrorCode } from '../../../errors';
import type { Job } from './steps';

/** The compiled script of the thread. It is also used when this file runs uncompiled. */
const SCRIPT = join(__dirname, '../../../../dist/lambda/code/intake/thread.js');
/** Memory of a thread. An ol.yaml of the largest size takes 30 MB. Inflated data passes through in pieces. */
const MEMORY = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 };

/** The answer of a thread to a job. */
export type Answer =
  | { result: unknown }
  | {
      error: {
        code: ErrorCode;
        message: string;
        field: string | undefined;
        value: string | undefined;
        diskFull?: boolean;
      };
    };

export interface ThreadOptions {
  /** Maximum number of threads at a time. Further jobs wait. */
  most: number;
  /** Threads that are kept without a job. Other threads end after idleMs. Default 0. */
  keep?: number;
  /** Longest time for one job, in s. */
  timeoutSec: number;
  /** Idle time before a thread ends, in ms. Default 10 s. */
  idleMs?: number;
  script?: string;
}

/** POLICY: default of idleMs, in ms. An idle thread holds 10 MB of memory. The start of a new thread takes 0.1 s. */
const IDLE_MS = 10_000;

interface Waiting {
  job: Job;
  settle: (answer: Answer) => void;
}

function refused(message: string, code: ErrorCode = 'LAMBDA_CODE'): Answer {
  return { error: { code, message, field: undefined, value: undefined } };
}

export class IntakeThreads {
  /** Threads without a job, each with the timer of its end. */
  private readonly idle: { thread: Worker; ending: NodeJS.Timeout }[] = [];
  private readonly all = new Set<Worker>();
  private readonly queue: Waiting[] = [];
  private closed = false;

  constructor(private readonly options: ThreadOptions) {}

  /** Runs a job. @throws ArgyleError of the job; LAMBDA_CODE when the job exceeded its time or memory; SHUTTING_DOWN */
  async run<T>(job: Job): Promise<T> {
    const answer = await new Promise<Answer>((settle) => {
      this.queue.push({ job, settle });
      this.next();
    });
    if ('result' in answer) return answer.result as T;
    const { code, message, field, value } = answer.error;
    throw new ArgyleError(code, message, {
      ...(answer.error.diskFull === true ? { cause: diskFull(message) } : {}),
      ...(field === undefined ? {} : { field }),
      ...(value === undefined ? {} : { value }),
    });
  }

  /** Ends every thread, even during a job. */
  async close(): Promise<void> {
    this.closed = true;
    this.next();
    await Promise.all([...this.all].map((thread) => thread.terminate()));
  }

  private next(): void {
    if (this.closed) {
      for (const { settle } of this.queue.splice(0)) settle(refused('the worker is shutting down', 'SHUTTING_DOWN'));
      return;
    }
    if (this.idle.length === 0 && this.all.size >= this.options.most) return;
    const waiting = this.queue.shift();
    if (waiting !== undefined) this.start(this.reuse() ?? this.spawn(), waiting);
  }

  private reuse(): Worker | undefined {
    const last = this.idle.pop();
    clearTimeout(last?.ending);
    return last?.thread;
  }

  private rest(thread: Worker): void {
    // An idle thread does not keep the process alive.
    thread.unref();
    const { keep = 0, idleMs = IDLE_MS } = this.options;
    const ending = setTimeout(() => {
      if (this.all.size <= keep) return;
      // The thread leaves the lists at once, because the timer of another job may fire in the same turn of the event
      // loop.
      this.forget(thread);
      void thread.terminate();
    }, idleMs).unref();
    this.idle.push({ thread, ending });
  }

  private spawn(): Worker {
    const { script = SCRIPT } = this.options;
    const thread = new Worker(script, { resourceLimits: MEMORY, env: {} });
    this.all.add(thread);
    // A running job has its own listener. Without a job, the error is ignored.
    thread.on('error', () => undefined);
    thread.once('exit', () => {
      this.forget(thread);
      this.next();
    });
    return thread;
  }

  private forget(thread: Worker): void {
    this.all.delete(thread);
    const at = this.idle.findIndex((one) => one.thread === thread);
    if (at >= 0) this.idle.splice(at, 1);
  }

  private start(thread: Worker, { job, settle }: Waiting): void {
    const { timeoutSec } = this.options;
    const end = (answer: Answer, reusable: boolean): void => {
      clearTimeout(timer);
      thread.off('message', onMessage).off('error', onError).off('exit', onExit);
      if (reusable) this.rest(thread);
      else void thread.terminate();
      settle(answer);
      this.next();
    };
    const onMessage = (answer: Answer): void => {
      end(answer, true);
    };
    const onError = (error: NodeJS.ErrnoException): void => {
      const memory = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      end(
        refused(memory ? 'reading the archive takes too much memory' : `reading the archive failed: ${error.message}`),
        false,
      );
    };
    const onExit = (): void => {
      end(
        this.closed ? refused('the worker is shutting down', 'SHUTTING_DOWN') : refused('reading the archive failed'),
        false,
      );
    };
    const timer = setTimeout(() => {
      end(refused(`reading the archive takes longer than ${timeoutSec} s (argyle.unpack_sec)`), false);
    }, timeoutSec * 1000);
    thread.ref();
    thread.on('message', onMessage).on('error', onError).on('exit', onExit);
    thread.postMessage(job);
  }
}
