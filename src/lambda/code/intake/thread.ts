/** The thread that unpacks and parses archives: one job at a time, with one answer for each. */
import { parentPort } from 'node:worker_threads';
import { asArgyleError, isDiskFull } from '../../../errors';
import { perform, type Job } from './steps';
import type { Answer } from './threads';

parentPort?.on('message', (job: Job) => {
  void perform(job).then(
    (result) => {
      answer({ result });
    },
    (thrown: unknown) => {
      const { code, message, field, value } = asArgyleError('LAMBDA_CODE', thrown);
      const shown = { message: message.slice(0, MAX_MESSAGE), field, value: value?.slice(0, MAX_MESSAGE) };
      answer({ error: { code, ...shown, diskFull: isDiskFull(thrown) } });
    },
  );
});

/** Longest message and value of an error, in characters. An error may quote the archive. */
const MAX_MESSAGE = 4000;

function answer(message: Answer): void {
  parentPort?.postMessage(message);
}
