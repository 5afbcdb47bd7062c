/** Threads that archives are unpacked and parsed in. What goes beyond its time or memory ends with its thread. */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { ArgyleError, diskFull, type ErrorCode } from '../../errors';
import type { Job } from './steps';

/** The compiled thread, also when this file runs uncompiled. */
const SCRIPT = join(__dirname, '../../../dist/lambda/intake/thread.js');
/** What a job may allocate: an ol.yaml of the largest size takes 30 MB. What it inflates passes by in pieces. */
const MEMORY = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 32, stackSizeMb: 4 };

/** What a thread says of a job. */
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
  /** Most threads at a time; further jobs wait. */
  most: number;
  /** Longest time for one job, s. */
  timeoutSec: number;
  script?: string;
}

interface Waiting {
  job: Job;
  settle: (answer: Answer) => void;
}

function refused(message: string, code: ErrorCode = 'LAMBDA_CODE'): Answer {
  return { error: { code, message, field: undefined, value: undefined } };
}

export class IntakeThreads {
  private readonly idle: Worker[] = [];
  private readonly all = new Set<Worker>();
  private readonly queue: Waiting[] = [];
  private closed = false;

  constructor(private readonly options: ThreadOptions) {}

  /** @throws ArgyleError that the job ended in; LAMBDA_CODE when it took too long or too much; SHUTTING_DOWN */
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

  /** Ends every thread, whatever it does. */
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
    if (waiting !== undefined) this.start(this.idle.pop() ?? this.spawn(), waiting);
  }

  private spawn(): Worker {
    const { script = SCRIPT } = this.options;
    const thread = new Worker(script, { resourceLimits: MEMORY, env: {} });
    this.all.add(thread);
    // A job hears of it, too; without a job nobody needs to.
    thread.on('error', () => undefined);
    thread.once('exit', () => {
      this.all.delete(thread);
      const at = this.idle.indexOf(thread);
      if (at >= 0) this.idle.splice(at, 1);
      this.next();
    });
    return thread;
  }

  private start(thread: Worker, { job, settle }: Waiting): void {
    const { timeoutSec } = this.options;
    const end = (answer: Answer, reusable: boolean): void => {
      clearTimeout(timer);
      thread.off('message', onMessage).off('error', onError).off('exit', onExit);
      if (reusable) {
        // A thread that waits keeps no process alive.
        thread.unref();
        this.idle.push(thread);
      } else void thread.terminate();
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
