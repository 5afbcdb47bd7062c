/**
 * Bursts of first calls: measures 100 concurrent first calls while no zygote has their packages, and their effect on a
 * function that is called at a steady rate. `make bench-burst`, as root. The packages come from PyPI.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { quantile } from '../stats';
import { LiveWorker } from '../subjects/live-worker';
import { callAtOnce, Trickle, type QuietCall } from './client';

const ROOT = resolve(__dirname, '../../../..');
const CALLS = 100;
const SETS = 10;
const QUIET_PER_SEC = 50;
/** Pause between two measurements, ms. In this time, instances are frozen and learned zygotes are made. */
const REST_MS = 4000;
const SETTINGS = { limits: { procs: 32, mem_mb: 256 }, mem_pool_mb: 64_000, argyle: { upload_zygotes: false } };

/** Versions that no worker has used before its burst. Each run needs one for the lone start and one for the burst. */
const NUMPY = [
  '2.0.0',
  '2.0.1',
  '2.0.2',
  '2.1.0',
  '2.1.1',
  '2.1.2',
  '2.1.3',
  '2.2.0',
  '2.2.1',
  '2.2.2',
  '2.2.3',
  '2.2.4',
];
/** The other dependencies of pandas. A list with a version in each line is installed unchanged. */
const OF_PANDAS = 'python-dateutil==2.9.0.post0\nsix==1.17.0\npytz==2025.2\ntzdata==2025.2';
const PANDAS = ['2.2.2', '2.2.3', '2.3.0', '2.3.1', '2.3.2', '2.3.3'];
/** Requirements and imported modules for the burst of many functions. */
const MIXED: readonly (readonly [string, string])[] = [
  ['requests', 'requests'],
  ['sqlalchemy', 'sqlalchemy'],
  ['jinja2', 'jinja2'],
  ['pyyaml', 'yaml'],
  ['networkx', 'networkx'],
  ['flask', 'flask'],
  ['openpyxl', 'openpyxl'],
  ['pydantic', 'pydantic'],
  ['numpy', 'numpy'],
  ['pandas', 'pandas'],
];

interface Source {
  requirements: string;
  module: string;
}

const handler = ({ requirements, module }: Source): Record<string, string> => ({
  'f.py': `import ${module}\n\n\ndef f(event):\n    return ${module}.__name__\n`,
  'requirements.txt': `${requirements}\n`,
});

export interface OneBurst {
  what: string;
  /** A single first call of such a function without zygotes, ms. */
  loneMs: number;
  /** The same number of concurrent calls with the zygote ready, ms. */
  forksMs: number;
  burstMs: number;
  /** Time limit of the burst, ms. */
  goalMs: number;
  /** p99 latency of the steady function before and during the burst, ms; medians of all runs. */
  quiet: {
    before: number;
    meanwhile: number;
    /** The slowest calls of the steady function during the burst. */
    slowest: readonly QuietCall[];
  };
}

type Beside = OneBurst['quiet'] & { ms: number };

const SLOWEST = 5;
const p99 = (calls: readonly QuietCall[]): number =>
  quantile(
    calls.map(({ ms }) => ms),
    0.99,
  );

class Bench {
  private count = 0;

  constructor(
    private readonly worker: LiveWorker,
    private readonly fresh: LiveWorker,
    private readonly trickle: Trickle,
  ) {}

  /** Deploys a function and installs all its packages. */
  async deploy(source: Source, worker = this.worker): Promise<string> {
    const name = `burst-${++this.count}`;
    await worker.install(name, handler(source), 'wait');
    return name;
  }

  /** Measures `run` under the steady load. The p99 before is taken over 1 s without `run`. */
  async beside(run: () => Promise<number>): Promise<Beside> {
    await sleep(REST_MS);
    await this.trickle.take();
    await sleep(2000);
    const before = p99(await this.trickle.take());
    const ms = await run();
    const calls = await this.trickle.take();
    const slowest = calls.toSorted((a, b) => b.ms - a.ms).slice(0, SLOWEST);
    return { ms, before, meanwhile: p99(calls), slowest };
  }

  /** 100 first calls of one function. */
  async one(what: string, lone: Source, cold: Source): Promise<OneBurst> {
    const alone = await this.deploy(lone, this.fresh);
    await sleep(REST_MS);
    const { allMs: loneMs } = await callAtOnce(this.fresh.url, [alone]);
    const name = await this.deploy(cold);
    const many = Array<string>(CALLS).fill(name);
    const burst = await this.beside(async () => (await callAtOnce(this.worker.url, many)).allMs);
    // The same with the zygote ready, in a function without instances.
    const again = await this.deploy(cold);
    await sleep(REST_MS);
    const { allMs: forksMs } = await callAtOnce(this.worker.url, Array<string>(CALLS).fill(again));
    const goalMs = 2 * loneMs + forksMs;
    return { what, loneMs, forksMs, burstMs: burst.ms, goalMs, quiet: burst };
  }

  /** 100 first calls of 100 functions with 10 sets of packages. */
  async mixed(): Promise<OneBurst> {
    const sources = MIXED.map(([requirements, module]): Source => ({ requirements, module }));
    let loneMs = 0;
    for (const source of sources) {
      const name = await this.deploy(source, this.fresh);
      await sleep(REST_MS / 4);
      loneMs += (await callAtOnce(this.fresh.url, [name])).allMs;
    }
    const wave = async (): Promise<string[]> => {
      const names: string[] = [];
      for (let n = 0; n < CALLS; n++) names.push(await this.deploy(sources[n % SETS] as Source));
      return names;
    };
    const first = await wave();
    const burst = await this.beside(async () => (await callAtOnce(this.worker.url, first)).allMs);
    const second = await wave();
    await sleep(REST_MS);
    const { allMs: forksMs } = await callAtOnce(this.worker.url, second);
    const goalMs = 1.5 * (loneMs / availableParallelism() + forksMs);
    return { what: `${CALLS} functions, ${SETS} sets`, loneMs, forksMs, burstMs: burst.ms, goalMs, quiet: burst };
  }
}

function table(bursts: readonly OneBurst[]): string {
  const header = ['burst of 100', 'lone starts', '100 forks', 'burst', 'goal', 'quiet p99 before', 'meanwhile'];
  const ms = (value: number): string => value.toFixed(value < 20 ? 1 : 0);
  const rows = bursts.map(({ what, loneMs, forksMs, burstMs, goalMs, quiet }) =>
    [what, ms(loneMs), ms(forksMs), ms(burstMs), ms(goalMs), ms(quiet.before), ms(quiet.meanwhile)].join(' | '),
  );
  return [
    `| ${header.join(' | ')} |`,
    `|---${'|--:'.repeat(header.length - 1)}|`,
    ...rows.map((row) => `| ${row} |`),
    '',
  ].join('\n');
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { runs: { type: 'string', default: '3' }, out: { type: 'string', default: 'out/burst' } },
  });
  const runs = Math.min(Number(values.runs), PANDAS.length / 2, NUMPY.length / 4);
  const worker = new LiveWorker(ROOT, { ...SETTINGS, features: { import_cache: 'popularity' } });
  const fresh = new LiveWorker(ROOT, { ...SETTINGS, features: { import_cache: '' } });
  const bursts: OneBurst[] = [];
  try {
    await worker.start();
    await fresh.start();
    await worker.install('quiet', { 'f.py': 'def f(event):\n    return event\n' }, 'wait');
    const trickle = new Trickle(worker.url, 'quiet', QUIET_PER_SEC);
    const bench = new Bench(worker, fresh, trickle);
    const numpy = (n: number): Source => ({ requirements: `numpy==${NUMPY[n] ?? ''}`, module: 'numpy' });
    const pandas = (n: number): Source => {
      const requirements = `pandas==${PANDAS[n] ?? ''}\nnumpy==${NUMPY[2 * PANDAS.length - 1 - n] ?? ''}\n${OF_PANDAS}`;
      return { requirements, module: 'pandas' };
    };
    try {
      for (let run = 0; run < runs; run++) {
        bursts.push(await bench.one('numpy', numpy(2 * run), numpy(2 * run + 1)));
        bursts.push(await bench.one('pandas', pandas(2 * run), pandas(2 * run + 1)));
        process.stdout.write(table(bursts.slice(-2)));
      }
      bursts.push(await bench.mixed());
    } finally {
      await trickle.stop();
    }
  } finally {
    await fresh.stop();
    await worker.stop();
  }
  process.stdout.write(table(bursts));
  const out = resolve(ROOT, values.out);
  await mkdir(out, { recursive: true });
  await writeFile(join(out, 'burst.json'), `${JSON.stringify(bursts, null, 2)}\n`);
  await writeFile(join(out, 'burst.md'), table(bursts));
}

void main().catch((thrown: unknown) => {
  process.stderr.write(`${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}\n`);
  process.exitCode = 1;
});
