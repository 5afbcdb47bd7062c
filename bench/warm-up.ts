/**
 * `make bench-warmup`: measures how much the warm-up delays the first real calls of a worker. Workers with and without a
 * warm-up start in turns, and each is called from its start on. `--other DIR` measures another build beside this one.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { Agent, request } from 'undici';
import { orderOf } from './harness';
import { quantile } from './stats';
import { freePort } from './subjects/live-worker';

const execute = promisify(execFile);
const ROOT = join(__dirname, '../../..');
const CODE = 'def f(event):\n    return event\n';
/** Real calls are measured for this time after the start, ms. The warm-up begins 500 ms after the start. */
const MEASURED_MS = 2000;
/** Pauses between two real calls, ms. The long ones are longer than the time after a call in which the warm-up rests. */
const PAUSES = { dense: [10, 10], sparse: [210, 290] } as const;

/** Starts a worker, and calls it until MEASURED_MS have passed. @returns the latency of each call but the first, ms */
async function firstCalls(
  ol: string,
  dir: string,
  warmupCalls: number,
  [least, most]: readonly [number, number],
): Promise<number[]> {
  const config = JSON.parse(await readFile(join(dir, 'config.json'), 'utf8')) as { worker_port: string };
  const url = `http://127.0.0.1:${config.worker_port}/run/echo`;
  await execute(ol, ['worker', 'up', '-d', '-p', dir, '-o', `argyle.warmup_calls=${warmupCalls}`]);
  const dispatcher = new Agent({ pipelining: 1 });
  const latencies: number[] = [];
  try {
    const endMs = performance.now() + MEASURED_MS;
    for (let n = 0; performance.now() < endMs; n++) {
      const startMs = performance.now();
      const answer = await request(url, { method: 'POST', body: '1', dispatcher });
      await answer.body.text();
      if (answer.statusCode !== 200) throw new Error(`/run/echo: ${answer.statusCode}`);
      // The first call pulls the code and makes the instance.
      if (n > 0) latencies.push(performance.now() - startMs);
      await sleep(least + Math.random() * (most - least));
    }
  } finally {
    await dispatcher.close();
    await execute(ol, ['worker', 'down', '-p', dir]);
  }
  return latencies;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '20' }, other: { type: 'string' } },
  });
  const ol = join(ROOT, 'bin/ol');
  const kinds = [
    { kind: 'without', program: ol, warmupCalls: 0 },
    { kind: 'with', program: ol, warmupCalls: 1000 },
    ...(values.other === undefined
      ? []
      : [{ kind: 'with, other build', program: join(values.other, 'bin/ol'), warmupCalls: 1000 }]),
  ];
  const cases = Object.entries(PAUSES).flatMap(([pattern, pauses]) =>
    kinds.map((kind) => ({ ...kind, name: `${pattern}, ${kind.kind}`, pauses, ms: [] as number[] })),
  );
  await mkdir(join(ROOT, 'out'), { recursive: true });
  const top = await mkdtemp(join(ROOT, 'out/warmup-'));
  // The sandboxes' user must be able to traverse this directory.
  await execute('chmod', ['0755', top]);
  const dir = join(top, basename(top));
  try {
    await execute(ol, ['worker', 'init', '-p', dir]);
    const file = join(dir, 'config.json');
    const config = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
    await writeFile(file, JSON.stringify({ ...config, worker_port: String(await freePort()) }));
    await mkdir(join(top, 'echo'));
    await writeFile(join(top, 'echo/f.py'), CODE);
    await execute(ol, ['worker', 'up', '-d', '-p', dir]);
    await execute(ol, ['admin', 'install', '-p', dir, join(top, 'echo')]);
    await execute(ol, ['worker', 'down', '-p', dir]);
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const index of orderOf(round, cases.length)) {
        const one = cases[index];
        if (one !== undefined) one.ms.push(...(await firstCalls(one.program, dir, one.warmupCalls, one.pauses)));
      }
    }
  } finally {
    await rm(top, { recursive: true, force: true });
  }
  console.log('| calls, warm-up | calls | median ms | p90 ms | p99 ms |\n| --- | --: | --: | --: | --: |');
  for (const { name, ms } of cases) {
    const cells = [0.5, 0.9, 0.99].map((share) => quantile(ms, share).toFixed(2));
    console.log(`| ${name} | ${ms.length} | ${cells.join(' | ')} |`);
  }
}

main().catch((thrown: unknown) => {
  console.error(thrown instanceof Error ? thrown.message : thrown);
  process.exitCode = 1;
});
