/** The thread that copies trees, one job at a time. A copy of 10,000 files takes about 1 s. */
import { parentPort } from 'node:worker_threads';
import { type CopyJob, type CopyResult, copyTree, TreeRefused } from './copy-tree';

export interface CopyOrder {
  job: CopyJob;
  /** The first byte ends the copy when it is not 0. */
  stop: SharedArrayBuffer;
}

export type CopyAnswer = { result: CopyResult } | { refused: string } | { failed: { message: string; code: string } };

parentPort?.on('message', ({ job, stop }: CopyOrder) => {
  parentPort?.postMessage(copy(job, new Uint8Array(stop)));
});

function copy(job: CopyJob, stop: Uint8Array): CopyAnswer {
  try {
    return { result: copyTree(job, () => Atomics.load(stop, 0) !== 0) };
  } catch (error) {
    if (error instanceof TreeRefused) return { refused: error.message };
    const { message, code = 'EIO' } = error as NodeJS.ErrnoException;
    return { failed: { message, code } };
  }
}
