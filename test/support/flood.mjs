/**
 * Keeps CALLS calls of one function in progress until it is ended: `node flood.mjs URL CALLS BODY`. Prints the number
 * of answers.
 */
import { Agent, request } from 'undici';

const [, , url, calls, body] = process.argv;
/** Delay after a failure, ms. */
const RETRY_MS = 100;
const dispatcher = new Agent({ connections: Number(calls), pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });
let answered = 0;

async function call() {
  try {
    const { statusCode, headers, body: answer } = await request(url, { method: 'POST', body, dispatcher });
    await answer.dump({ limit: 1 << 24 });
    if (statusCode === 200) answered++;
    return statusCode === 429 ? 1000 * Number(headers['retry-after']) : 0;
  } catch {
    return RETRY_MS;
  }
}

async function caller() {
  for (;;) {
    const waitMs = await call();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

process.on('SIGTERM', () => {
  process.stdout.write(String(answered), () => process.exit(0));
});
for (let n = 0; n < Number(calls); n++) void caller();
