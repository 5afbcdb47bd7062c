/**
 * Measures the limit of one event loop: calls per second of one worker, of two workers that share the clients, and of
 * proxies with one and several loops. A simulation with the measured costs then covers more CPUs. `make bench-loops
 * LOOPS_ARGS="[--rounds N] [--ms N] [--clients N]"`, as root. docs/adr/0014-loops.md has the figures.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { orderOf } from '../harness';
import { quantile } from '../stats';
import { freePort, LiveWorker } from '../subjects/live-worker';
import { load, type Target } from './client';
import { childrenOf, cpuMs, insideOf, processOf } from './cpu';
import { callsPerSecond } from './simulate';

const ROOT = resolve(__dirname, '../../../..');
const ONE = 'one worker';
const BACKENDS = 8;
const FUNCTIONS = 8;
/** A function's process without the worker's guest. It answers on a unix socket, one connection after the other. */
const BACKEND = `
import socket, sys, threading
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
def serve(connection):
    rest = b""
    while True:
        data = connection.recv(65536)
        if not data:
            return
        rest += data
        if rest.endswith(b"}"):
            rest = b""
            connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 7\\r\\n\\r\\n" + b'{"n":1}')
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
`;
const SHAPES = ['one', 'share', 'front'] as const;
const ECHO = { 'f.py': 'def f(event):\n    return event\n' };
/** Simulated machines: number of CPUs, and the numbers of loops. */
const LARGER = [
  [2, [1, 2]],
  [4, [1, 2, 3]],
  [16, [1, 2, 4, 8]],
] as const;

interface Variant {
  readonly name: string;
  readonly targets: readonly Target[];
  /** The measured processes between client and function, by their role. */
  readonly parts: Readonly<Record<string, () => Promise<string[]>>>;
}

interface Measured {
  readonly name: string;
  readonly perSecond: number[];
  /** CPU time of one call, µs, by role. */
  readonly us: Record<string, number[]>;
}

const children: ChildProcess[] = [];

function start(program: string, args: readonly string[]): ChildProcess {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  children.push(child);
  return child;
}

async function answering(target: Target): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if ((await load([target], 1, 1).catch(() => undefined)) !== undefined) return;
    await sleep(100);
  }
  throw new Error(`nothing answers on port ${target.port}`);
}

async function proxies(dir: string): Promise<Variant[]> {
  for (let index = 0; index < BACKENDS; index++) {
    start('/usr/bin/python3', ['-I', '-S', '-c', BACKEND, join(dir, `${index}.sock`)]);
  }
  while ((await readdir(dir)).length < BACKENDS) await sleep(50);
  const variants: Variant[] = [];
  for (const shape of SHAPES) {
    const target = { port: await freePort(), path: '/' };
    const args = [join(__dirname, 'proxy.js'), shape, String(target.port), dir];
    const pid = start(process.execPath, [...process.execArgv, ...args]).pid ?? 0;
    await answering(target);
    const fronts = (): Promise<string[]> => childrenOf(pid);
    const own = (): Promise<string[]> => Promise.resolve([String(pid)]);
    const parts = shape === 'one' ? { loop: own } : shape === 'share' ? { loop: fronts } : { front: fronts, core: own };
    variants.push({ name: `proxy: ${shape}`, targets: [target], parts });
  }
  return variants;
}

async function balanced(dir: string, workers: readonly LiveWorker[]): Promise<number> {
  const port = await freePort();
  const servers = workers.map(({ url }, index) => `  server w${index} ${new URL(url).host}`).join('\n');
  const timeouts = ['client', 'server', 'connect'].map((name) => `  timeout ${name} 60s`).join('\n');
  const config = `defaults\n  mode http\n${timeouts}\nlisten all\n  bind 127.0.0.1:${port}\n  balance leastconn\n${servers}\n`;
  await writeFile(join(dir, 'haproxy.cfg'), config);
  start('haproxy', ['-db', '-q', '-f', join(dir, 'haproxy.cfg')]);
  await answering({ port, path: '/run/echo0' });
  return port;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '7' },
      ms: { type: 'string', default: '2000' },
      clients: { type: 'string', default: '8' },
    },
  });
  const [rounds, ms, clients] = [Number(values.rounds), Number(values.ms), Number(values.clients)];
  const dir = await mkdtemp(join(tmpdir(), 'argyle-loops-'));
  const workers = [new LiveWorker(ROOT, {}), new LiveWorker(ROOT, {})];
  try {
    const shapes = await proxies(dir);
    for (const worker of workers) {
      await worker.start();
      for (let index = 0; index < FUNCTIONS; index++) await worker.install(`echo${index}`, ECHO, 'wait');
    }
    const own = workers.map(({ url }) => echoes(Number(new URL(url).port)));
    const [first = [], second = []] = own;
    const [one, both] = [workers.slice(0, 1), workers].map((some) => ({
      worker: () => each(some, processOf),
      guests: () => each(some, insideOf),
    }));
    const spread = first.map((target, index) => (index % 2 === 0 ? target : (second[index] ?? target)));
    const measured = await measureAll(
      [
        { name: ONE, targets: first, parts: one ?? {} },
        { name: 'two workers, clients spread', targets: spread, parts: both ?? {} },
        { name: 'two workers, HAProxy', targets: echoes(await balanced(dir, workers)), parts: both ?? {} },
        ...shapes,
      ],
      { rounds, ms, clients },
    );
    report(measured);
  } finally {
    for (const child of children) child.kill('SIGKILL');
    for (const worker of workers) await worker.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

/** Targets of a client that calls one function repeatedly. */
function echoes(port: number): Target[] {
  return Array.from({ length: FUNCTIONS }, (_, index) => ({ port, path: `/run/echo${index}` }));
}

async function each(workers: readonly LiveWorker[], find: (home: string) => Promise<string[]>): Promise<string[]> {
  return (await Promise.all(workers.map(({ home }) => find(home)))).flat();
}

/** Measures in rounds. The first round does not count. */
async function measureAll(
  variants: readonly Variant[],
  { rounds, ms, clients }: { rounds: number; ms: number; clients: number },
): Promise<Measured[]> {
  const all = variants.map((variant) => {
    const us = Object.fromEntries(Object.keys(variant.parts).map((part): [string, number[]] => [part, []]));
    return { variant, measured: { name: variant.name, perSecond: [] as number[], us } };
  });
  for (let round = 0; round <= rounds; round++) {
    for (const index of orderOf(round, all.length)) {
      const one = all[index];
      if (one === undefined) continue;
      const { targets, parts } = one.variant;
      const look = (): Promise<number[]> => Promise.all(Object.values(parts).map((find) => cpuMs(find())));
      // Makes the instances start before the CPU time is read.
      await load(targets, clients, ms / 5);
      const before = await look();
      const count = await load(targets, clients, ms);
      const after = await look();
      if (round === 0) continue;
      one.measured.perSecond.push((count * 1000) / ms);
      Object.values(one.measured.us).forEach((samples, part) => {
        samples.push((1000 * ((after[part] ?? 0) - (before[part] ?? 0))) / count);
      });
    }
  }
  return all.map(({ measured }) => measured);
}

const median = (sample: readonly number[]): number => quantile(sample, 0.5);

function report(all: readonly Measured[]): void {
  const [base] = all;
  const [plain] = all.filter(({ name }) => name === 'proxy: one');
  const timesOf = (own: Measured, other: Measured | undefined): string =>
    median(own.perSecond.map((rate, round) => rate / (other?.perSecond[round] ?? NaN))).toFixed(2);
  console.log('| what | calls/s | × one worker | × one proxy | µs of a call |\n| --- | --: | --: | --: | --- |');
  for (const one of all) {
    const us = Object.entries(one.us).map(([part, samples]) => `${part} ${median(samples).toFixed(0)}`);
    const cells = [one.name, median(one.perSecond).toFixed(0), timesOf(one, base), timesOf(one, plain), us.join(', ')];
    console.log(`| ${cells.join(' | ')} |`);
  }
  const usOf = (name: string, part: string): number => median(all.find((one) => one.name === name)?.us[part] ?? [NaN]);
  const workerUs = usOf(ONE, 'worker');
  const [loop, front, core] = [usOf('proxy: one', 'loop'), usOf('proxy: front', 'front'), usOf('proxy: front', 'core')];
  simulateAll(workerUs, usOf(ONE, 'guests'), { front: front / loop, core: core / loop });
}

/** @param split CPU time of a front loop and of the core per call, as shares of the time in a single loop */
function simulateAll(workerUs: number, guestUs: number, split: { front: number; core: number }): void {
  console.log('\n| processors | loops | all in each loop, calls/s | through one core |\n| --: | --: | --: | --: |');
  for (const [processors, tried] of LARGER) {
    for (const loops of tried) {
      const machine = { processors, loops, clients: 8 * processors };
      const whole = callsPerSecond({ frontUs: workerUs, coreUs: 0, guestUs }, machine);
      const cost = { frontUs: workerUs * split.front, coreUs: workerUs * split.core, guestUs };
      console.log(`| ${processors} | ${loops} | ${whole.toFixed(0)} | ${callsPerSecond(cost, machine).toFixed(0)} |`);
    }
  }
}

main().catch((thrown: unknown) => {
  console.error(thrown instanceof Error ? thrown.message : thrown);
  process.exitCode = 1;
});
