/**
 * Compares two workers with OpenLambda's API on the same work, in turns: cold starts, warm calls, and in sock mode the
 * making and destroying of sandboxes. Prints one JSON object per row, and a table of medians, p95 and ratios.
 *
 *   side-by-side.js --urls A,B [--rounds N] [--pins SPEC,SPEC…] [--cgroups DIR,DIR]   workers in lambda mode
 *   side-by-side.js --urls A,B --sock CODE [--rounds N]                              workers in sock mode
 *
 * --pins: also measures a function that imports the first of these packages. They must be installed already.
 * --cgroups: the parent cgroups of all sandboxes of A and of B, for the memory of paused sandboxes.
 * CODE is a directory with an f.py.
 */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { packLambda } from '../test/support/deploy';
import { quantile } from './stats';

/** Pause between two samples, ms, so that background work of one worker does not affect the other. */
const REST_MS = 150;
const WARM_CALLS = 8;
/** Uncounted rounds of churn. After them, a warmed-up worker's JIT has compiled the code. */
const CHURN_BEFORE = 20;
const CLIENTS = 8;
const CALLS_AT_ONCE = 160;

type Pair<T> = [T, T];
const agent = new Agent({ keepAlive: true });
const rest = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** @returns time to the end of the answer, ms, and the body. @throws Error for a status of 400 and above */
async function call(method: string, url: string, body: string | Buffer = ''): Promise<{ ms: number; text: string }> {
  const begun = process.hrtime.bigint();
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, agent }, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.on('end', () => {
        const text = Buffer.concat(parts).toString();
        if ((answer.statusCode ?? 500) >= 400) reject(new Error(`${url}: ${String(answer.statusCode)} ${text}`));
        else resolve({ ms: Number(process.hrtime.bigint() - begun) / 1e6, text });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

function report(row: string, unit: string, [a, b]: Pair<number[]>, isRate = false): void {
  const [a50, b50] = [quantile(a, 0.5), quantile(b, 0.5)];
  const [a95, b95] = [quantile(a, 0.95), quantile(b, 0.95)];
  const ratio = (x: number, y: number): string => (isRate ? y / x : x / y).toFixed(2);
  const figures = [a50, b50, a95, b95].map((value) => value.toFixed(value < 10 ? 2 : 1)).join(' | ');
  console.log(`| ${row} | ${unit} | ${figures} | ${ratio(a50, b50)} | ${ratio(a95, b95)} | ${a.length}, ${b.length} |`);
}

let count = 0;
async function upload(url: string, code: Record<string, string>): Promise<string> {
  const name = `side${process.pid}-${++count}`;
  await call('POST', `${url}/registry/${name}`, await packLambda(code));
  return name;
}

/** Measures first calls of new functions. */
async function cold(urls: Pair<string>, rounds: number, code: Record<string, string>): Promise<Pair<number[]>> {
  const samples: Pair<number[]> = [[], []];
  for (let round = -2; round < rounds; round++)
    for (const side of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const name = await upload(urls[side], code);
      await rest(REST_MS);
      const { ms } = await call('POST', `${urls[side]}/run/${name}`, '1');
      // The first two calls make the zygotes, so they do not count.
      if (round >= 0) samples[side].push(ms);
      await rest(REST_MS);
    }
  return samples;
}

/** Measures calls of one function by one client, and the throughput of eight clients. */
async function warm(urls: Pair<string>, rounds: number): Promise<void> {
  const code = { 'f.py': 'def f(event):\n    return event\n' };
  const paths = [`${urls[0]}/run/${await upload(urls[0], code)}`, `${urls[1]}/run/${await upload(urls[1], code)}`];
  const alone: Pair<number[]> = [[], []];
  const together: Pair<number[]> = [[], []];
  for (let round = -1; round < rounds; round++)
    for (const side of [0, 1] as const) {
      const path = paths[side] ?? '';
      const calls: number[] = [];
      for (let i = 0; i < WARM_CALLS; i++) calls.push((await call('POST', path, '"x"')).ms);
      if (round >= 0) alone[side].push(...calls);
      await rest(REST_MS);
    }
  report('warm echo, 1 client', 'ms', alone);
  for (let round = -1; round < Math.ceil(rounds / 2); round++)
    for (const side of [0, 1] as const) {
      const path = paths[side] ?? '';
      const begun = Date.now();
      let left = CALLS_AT_ONCE;
      const client = async (): Promise<void> => {
        while (left-- > 0) await call('POST', path, '"x"');
      };
      await Promise.all(Array.from({ length: CLIENTS }, client));
      if (round >= 0) together[side].push((CALLS_AT_ONCE / (Date.now() - begun)) * 1000);
      await rest(REST_MS * 3);
    }
  report(`warm echo, ${CLIENTS} clients`, 'calls/s', together, true);
}

/** Measures a sandbox that is forked from a zygote and destroyed. */
async function churn(urls: Pair<string>, rounds: number, code: string): Promise<void> {
  const made: Pair<number[]> = [[], []];
  const gone: Pair<number[]> = [[], []];
  const both: Pair<number[]> = [[], []];
  const parents: string[] = [];
  for (const url of urls)
    parents.push((await call('POST', `${url}/create`, JSON.stringify({ code: '', leaf: false }))).text.trim());
  for (let round = -CHURN_BEFORE; round < rounds; round++)
    for (const side of [0, 1] as const) {
      const body = JSON.stringify({ code, parent: parents[side] });
      const create = await call('POST', `${urls[side]}/create`, body);
      const destroy = await call('POST', `${urls[side]}/destroy/${create.text.trim()}`);
      if (round < 0) continue;
      made[side].push(create.ms);
      gone[side].push(destroy.ms);
      both[side].push(create.ms + destroy.ms);
    }
  report('sock mode, sandbox forked', 'ms', made);
  report('sock mode, sandbox destroyed', 'ms', gone);
  report('sock mode, both', 'ms', both);
}

const memoryMb = (dir: string): number => Number(readFileSync(join(dir, 'memory.current'), 'utf8')) / 2 ** 20;

function pair(text: string | undefined, option: string): Pair<string> {
  const [a, b, ...more] = (text ?? '').split(',');
  if (a === undefined || b === undefined || b === '' || more.length > 0)
    throw new Error(`${option} needs two values, got '${text ?? ''}'`);
  return [a, b];
}

async function main(): Promise<void> {
  const names = ['urls', 'sock', 'rounds', 'pins', 'cgroups'] as const;
  const options = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]));
  const values = parseArgs({ options }).values as Partial<Record<(typeof names)[number], string>>;
  const urls = pair(values.urls, '--urls');
  const rounds = Number(values.rounds ?? 30);
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`--rounds: '${values.rounds ?? ''}' is no whole number above 0`);
  console.log('| what | unit | A p50 | B p50 | A p95 | B p95 | p50 ratio | p95 ratio | samples |');
  if (values.sock !== undefined) {
    await churn(urls, rounds, values.sock);
    return;
  }
  await warm(urls, rounds);
  const dirs = values.cgroups === undefined ? undefined : pair(values.cgroups, '--cgroups');
  const before = dirs?.map(memoryMb);
  report(
    'cold start, nothing to import',
    'ms',
    await cold(urls, rounds, { 'f.py': 'def f(event):\n    return event\n' }),
  );
  const after = dirs?.map(memoryMb);
  const grown = [0, 1].map((side) => ((after?.[side] ?? 0) - (before?.[side] ?? 0)) / (rounds + 2));
  if (dirs !== undefined) report('memory of one more paused instance', 'MB', [[grown[0] ?? 0], [grown[1] ?? 0]]);
  const pins = values.pins?.split(',') ?? [];
  if (pins[0] !== undefined) {
    const module = pins[0].replace(/[=<>].*/, '');
    const source = `import ${module}\ndef f(event):\n    return ${module}.__version__\n`;
    const code = { 'f.py': source, 'requirements.txt': `${pins.join('\n')}\n` };
    report(`cold start, ${module}`, 'ms', await cold(urls, rounds, code));
  }
}

main()
  .catch((error: unknown) => {
    console.error(`side-by-side: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  })
  .finally(() => {
    agent.destroy();
  });
