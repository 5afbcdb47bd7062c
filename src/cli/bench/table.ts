/** The benchmarks of `ol bench` and their functions. Pure. */

export type Kind = 'py' | 'pd';

export interface Benchmark {
  name: string;
  /** Former name, which remains valid. */
  alias?: string;
  kind: Kind;
  /** Number of distinct functions that are called. */
  functions: number;
  /** Number of concurrent requests. */
  tasks: number;
}

/** Sizes of the original: the first fits into memory, the second needs evictions, the third always misses. */
const SIZES = [64, 1024, 64 * 1024];
/** Concurrent requests of a `-par` benchmark, unless -t is given. The original's number. */
export const PARALLEL_TASKS = 32;

export const KINDS: readonly Kind[] = ['py', 'pd'];

/** Formats a size as the original does: 64, `1k`, `64k`. */
function sizeName(functions: number): string {
  return functions >= 1024 ? `${functions / 1024}k` : String(functions);
}

function benchmark(kind: Kind, functions: number, suffix: string, tasks: number): Benchmark {
  const name = `${kind}${sizeName(functions)}-${suffix}`;
  const alias = `${kind}${functions}-${suffix}`;
  return { name, ...(alias === name ? {} : { alias }), kind, functions, tasks };
}

/** `py64-seq`, `py64-par`, `py1k-seq`, … `pd64k-par`. */
export const BENCHMARKS: readonly Benchmark[] = KINDS.flatMap((kind) =>
  SIZES.flatMap((functions) => [
    benchmark(kind, functions, 'seq', 1),
    benchmark(kind, functions, 'par', PARALLEL_TASKS),
  ]),
);

/** The name of the function with this number. */
export function functionName(kind: Kind, index: number): string {
  return `bench-${kind}-${index}`;
}

/** `py` takes almost no time. `pd` imports pandas, so it measures how a worker handles packages. */
export const SOURCES: Readonly<Record<Kind, Readonly<Record<string, string>>>> = {
  py: { 'f.py': 'def f(event):\n    return "hello"\n' },
  pd: {
    'f.py': `import numpy
import pandas


def f(event):
    frame = pandas.DataFrame(numpy.arange(12).reshape(3, 4), columns=list("abcd"))
    return {column: int(frame[column].sum()) for column in frame}
`,
    'requirements.txt':
      'numpy==2.1.0\npandas==2.2.3\npython-dateutil==2.9.0.post0\npytz==2024.2\nsix==1.16.0\ntzdata==2024.2\n',
    // numpy's threads exceed the default limit of 10 processes.
    'ol.yaml': 'limits:\n  procs: 32\n  mem_mb: 128\n',
  },
};

export interface Tally {
  successes: number;
  errors: number;
}

/** Parses a trace: one function name per line. Empty lines are skipped. */
export function traceCalls(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

/**
 * Whether the share of failed calls exceeds `percent`. The share is rounded down to whole percents, as in the original.
 */
export function tooManyErrors({ successes, errors }: Tally, percent: number): boolean {
  return errors > Math.floor((percent * (successes + errors)) / 100);
}

/** The result line in the original's format: JSON with the same spaces. */
export function resultLine(benchmark: string, seconds: number, { successes, errors }: Tally): string {
  const rate = seconds > 0 ? successes / seconds : 0;
  return (
    `{"benchmark": ${JSON.stringify(benchmark)},"seconds": ${seconds.toFixed(3)}, "successes": ${successes}, ` +
    `"errors": ${errors}, "ops/s": ${rate.toFixed(3)}}`
  );
}
