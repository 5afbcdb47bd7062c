// Requests /status from a worker, and calls another tenant's echo function, until standard input ends. Then prints one
// JSON object: the times of /status in ms, the same times without the waits of this process and the worker for a CPU,
// the number of right echoes, and the faults.
//
//   node watcher.mjs URL PID
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

const [, , url, pid] = process.argv;
const EVERY_MS = 20;
const result = { statusMs: [], ownMs: [], echoes: 0, wrong: [] };
let stop = false;
process.stdin.resume().on('end', () => (stop = true));

/** Time that the main threads of both processes were runnable but had no CPU, ms. */
function waitedMs() {
  const ofThread = (id) => Number(readFileSync(`/proc/${id}/task/${id}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
  return ofThread(process.pid) + ofThread(pid);
}

async function watchStatus() {
  while (!stop) {
    const startMs = performance.now();
    const beforeMs = waitedMs();
    try {
      const answer = await fetch(`${url}/status`);
      await answer.text();
      if (answer.status !== 200) result.wrong.push(`/status: ${answer.status}`);
    } catch (error) {
      result.wrong.push(`/status: ${error.message} ${error.cause?.message ?? ''}`);
    }
    const ms = performance.now() - startMs;
    result.statusMs.push(ms);
    result.ownMs.push(ms - (waitedMs() - beforeMs));
    await sleep(EVERY_MS);
  }
}

async function watchEcho() {
  for (let number = 0; !stop; number++) {
    try {
      const answer = await fetch(`${url}/run/echo`, { method: 'POST', body: JSON.stringify({ number }) });
      const text = await answer.text();
      if (answer.status === 200 && JSON.parse(text).number === number) result.echoes++;
      else result.wrong.push(`echo: ${answer.status} ${text}`);
    } catch (error) {
      result.wrong.push(`echo: ${error.message} ${error.cause?.message ?? ''}`);
    }
    await sleep(EVERY_MS);
  }
}

await Promise.all([watchStatus(), watchEcho()]);
// A long report is complete in the pipe only when the callback runs.
process.stdout.end(`${JSON.stringify(result)}\n`, () => process.exit(0));
