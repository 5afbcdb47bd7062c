/** The thread of a Trickle: calls in an open loop. */
import { parentPort, workerData } from 'node:worker_threads';
import { Agent, request } from 'undici';
import { phasesOf } from '../cache/life';
import type { QuietCall } from './client';

const { url, name, perSecond } = workerData as { url: string; name: string; perSecond: number };
const agent = new Agent({ connections: 16, pipelining: 1 });
const running = new Set<Promise<void>>();
let taken: QuietCall[] = [];

async function call(): Promise<void> {
  const startMs = performance.now();
  const answer = await request(`${url}/run/${name}`, { method: 'POST', body: '{}', dispatcher: agent });
  await answer.body.text();
  if (answer.statusCode !== 200) throw new Error(`${name}: ${answer.statusCode}`);
  const timing = [answer.headers['server-timing'] ?? ''].flat().join(', ');
  taken.push({ ms: performance.now() - startMs, phases: phasesOf(timing) });
}

setInterval(() => {
  const one = call().finally(() => running.delete(one));
  running.add(one);
}, 1000 / perSecond);

parentPort?.on('message', () => {
  void Promise.all(running).then(() => {
    parentPort?.postMessage(taken);
    taken = [];
  });
});
