// Asks a worker for /status, and another tenant's function for an echo, until its standard input ends. Prints one JSON
// object then: the times of /status in ms, how many echoes were right, and what was wrong.
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

const url = process.argv[2];
const EVERY_MS = 20;
const result = { statusMs: [], echoes: 0, wrong: [] };
let stop = false;
process.stdin.resume().on('end', () => (stop = true));

async function watchStatus() {
  while (!stop) {
    const startMs = performance.now();
    try {
      const answer = await fetch(`${url}/status`);
      await answer.text();
      if (answer.status !== 200) result.wrong.push(`/status: ${answer.status}`);
    } catch (error) {
      result.wrong.push(`/status: ${error.message} ${error.cause?.message ?? ''}`);
    }
    result.statusMs.push(performance.now() - startMs);
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
console.log(JSON.stringify(result));
process.exit(0);
