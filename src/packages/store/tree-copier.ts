/** Copies trees in a thread, one after the other. The thread ends after a time without jobs. */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { CopyAnswer, CopyOrder } from './copy-thread';
import { type CopyJob, type CopyResult, TreeRefused } from './copy-tree';
import { Limiter } from '../install/limiter';

/** The compiled thread. It is also used when this file runs uncompiled. */
const SCRIPT = join(__dirname, '../../../dist/packages/store/copy-thread.js');
const IDLE_MS = 2000;

export class TreeCopier {
  private readonly limiter = new Limiter(1);
  private thread: Worker | undefined;
  private idle: NodeJS.Timeout | undefined;

  /** Like copyTree(), in the thread. @throws as copyTree(), and TreeRefused when the signal aborts */
  copy(job: CopyJob, signal?: AbortSignal): Promise<CopyResult> {
    return this.limiter.run(async () => {
      const stop = new SharedArrayBuffer(1);
      const abort = (): void => void Atomics.store(new Uint8Array(stop), 0, 1);
      if (signal?.aborted === true) abort();
      signal?.addEventListener('abort', abort);
      try {
        return resultOf(await this.ask({ job, stop }));
      } finally {
        signal?.removeEventListener('abort', abort);
      }
    });
  }

  private ask(order: CopyOrder): Promise<CopyAnswer> {
    clearTimeout(this.idle);
    const thread = (this.thread ??= new Worker(SCRIPT, { env: {} }));
    thread.ref();
    return new Promise<CopyAnswer>((resolve, reject) => {
      const died = (reason: unknown): void => {
        this.thread = undefined;
        reject(reason instanceof Error ? reason : new Error('the copying thread ended'));
      };
      thread.once('error', died).once('exit', died);
      thread.once('message', (answer: CopyAnswer) => {
        thread.off('error', died).off('exit', died);
        resolve(answer);
      });
      thread.postMessage(order);
    }).finally(() => {
      // An idle thread must not keep the process alive.
      thread.unref();
      this.idle = setTimeout(() => {
        this.thread = undefined;
        void thread.terminate();
      }, IDLE_MS).unref();
    });
  }
}

function resultOf(answer: CopyAnswer): CopyResult {
  if ('result' in answer) return answer.result;
  if ('refused' in answer) throw new TreeRefused(answer.refused);
  const { message, code } = answer.failed;
  throw Object.assign(new Error(message), { code, syscall: 'copy' });
}
