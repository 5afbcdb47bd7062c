/** The report of the cache bench. Pure. */
import { quantile } from '../stats';
import type { Life } from './life';
import type { CacheResult } from './run';

/** Goals for popularity relative to the fitted tree, and for the simulator relative to the live workers. */
const MEAN_TIMES = 5;
const P99_TIMES = 2;
const SIMULATED_WITHIN = 0.3;

export interface CacheRow {
  readonly mode: string;
  /** Undefined for a mode that was only simulated. */
  readonly live: LiveFigures | undefined;
  /** The simulator's results; undefined when it lacks the policy. */
  readonly simulated: { readonly totalMs: number; readonly coldStarts: number; readonly zygoteMb: number } | undefined;
}

export interface LiveFigures {
  readonly calls: number;
  readonly failed: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly cold: number;
  readonly coldTotalMs: number;
  readonly memoryMb: Readonly<Record<string, number>>;
}

/** Figures of the calls after the warm-up. */
function figuresOf({ calls, memoryMb }: Life, warmup: number): LiveFigures {
  const counted = calls.slice(warmup);
  const good = counted.filter(({ status }) => status === 200);
  const ms = good.map((call) => call.ms);
  const colds = good.filter(({ start }) => start !== 'warm');
  return {
    calls: counted.length,
    failed: counted.length - good.length,
    meanMs: ms.reduce((sum, one) => sum + one, 0) / Math.max(1, ms.length),
    p50Ms: quantile(ms, 0.5),
    p99Ms: quantile(ms, 0.99),
    cold: colds.length,
    coldTotalMs: colds.reduce((sum, call) => sum + call.ms, 0),
    memoryMb,
  };
}

/** One row per mode that was run or simulated. @param warmup number of uncounted calls */
export function rowsOf({ lives, simulated }: Pick<CacheResult, 'lives' | 'simulated'>, warmup: number): CacheRow[] {
  const modes = [...new Set<string>([...lives.keys(), ...simulated.keys()])];
  return modes.map((mode) => {
    const life = [...lives].find(([name]) => name === mode)?.[1];
    const result = simulated.get(mode);
    return {
      mode,
      live: life === undefined ? undefined : figuresOf(life, warmup),
      simulated:
        result === undefined
          ? undefined
          : { totalMs: result.totalColdMs, coldStarts: result.coldStarts, zygoteMb: result.zygoteMb },
    };
  });
}

const ms = (value: number): string => value.toFixed(value < 20 ? 1 : 0);
const mb = (tiers: Readonly<Record<string, number>>, name: string): string => (tiers[name] ?? 0).toFixed(0);

function cellsOf({ mode, live, simulated }: CacheRow): string[] {
  const own =
    live === undefined
      ? Array<string>(10).fill('')
      : [
          ms(live.meanMs),
          ms(live.p50Ms),
          ms(live.p99Ms),
          `${((100 * live.cold) / Math.max(1, live.calls - live.failed)).toFixed(0)} %`,
          `${live.failed}`,
          mb(live.memoryMb, 'instance'),
          mb(live.memoryMb, 'paused'),
          mb(live.memoryMb, 'zygote'),
          mb(live.memoryMb, 'spare'),
          `${live.cold}, ${(live.coldTotalMs / 1000).toFixed(1)} s`,
        ];
  const other = simulated === undefined ? '' : `${simulated.coldStarts}, ${(simulated.totalMs / 1000).toFixed(1)} s`;
  const ratio = live === undefined || simulated === undefined ? '' : (simulated.totalMs / live.coldTotalMs).toFixed(2);
  return [mode, ...own, other, ratio];
}

const HEADER = [
  'mode',
  'mean ms',
  'p50',
  'p99',
  'cold',
  'failed',
  'running MB',
  'paused MB',
  'zygotes MB',
  'spares MB',
  'cold starts live',
  'simulated',
  'simulated / live',
];

function goal(about: string, wanted: string, got: number | undefined, isMet: (got: number) => boolean): string {
  const [value, verdict] = got === undefined ? ['', 'not measured'] : [got.toFixed(2), isMet(got) ? 'met' : 'missed'];
  return `| ${about} | ${wanted} | ${value} | ${verdict} |`;
}

/** The tables of modes and goals. */
export function reportOf(rows: readonly CacheRow[]): string {
  const of = (mode: string): LiveFigures | undefined => rows.find((row) => row.mode === mode)?.live;
  const [tree, own] = [of('tree'), of('popularity')];
  const ratio = (pick: (figures: LiveFigures) => number): number | undefined =>
    tree === undefined || own === undefined ? undefined : pick(tree) / pick(own);
  const simulated = rows.flatMap((row) =>
    row.live === undefined || row.simulated === undefined
      ? []
      : [
          goal(
            `${row.mode}: simulated total against live`,
            '0.7 to 1.3',
            row.simulated.totalMs / row.live.coldTotalMs,
            within,
          ),
        ],
  );
  return [
    `| ${HEADER.join(' | ')} |`,
    `| --- ${'| --: '.repeat(HEADER.length - 1)}|`,
    ...rows.map((row) => `| ${cellsOf(row).join(' | ')} |`),
    '',
    '| goal | wanted | got | |',
    '| --- | --- | --: | --- |',
    goal(
      'mean: tree against popularity',
      `≥ ${MEAN_TIMES}`,
      ratio(({ meanMs }) => meanMs),
      (got) => got >= MEAN_TIMES,
    ),
    goal(
      'p99: tree against popularity',
      `≥ ${P99_TIMES}`,
      ratio(({ p99Ms }) => p99Ms),
      (got) => got >= P99_TIMES,
    ),
    ...simulated,
    '',
  ].join('\n');
}

function within(ratio: number): boolean {
  return Math.abs(ratio - 1) <= SIMULATED_WITHIN;
}
