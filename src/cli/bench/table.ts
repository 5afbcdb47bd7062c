/** The benchmarks of `ol bench`, and the functions that they call. Pure. */

export type Kind = 'py' | 'pd';

export interface Benchmark {
  name: string;
  /** Former name, which still works. */
  alias?: string;
  kind: Kind;
  /** Different functions that are called. */
  functions: number;
  /** Requests at the same time. */
  tasks: number;
}

/** Sizes of the original: one that fits into memory, one that needs evictions, one that always misses. */
const SIZES = [64, 1024, 64 * 1024];
/** Requests at the same time in a `-par` benchmark, unless -t says otherwise; the original's number. */
export const PARALLEL_TASKS = 32;

export const KINDS: readonly Kind[] = ['py', 'pd'];

/** 64, `1k`, `64k`: sizes as the original writes them. */
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

/** The name under which the function with this number is stored. */
export function functionName(kind: Kind, index: number): string {
  return `bench-${kind}-${index}`;
}

/** `py` costs next to nothing; `pd` imports pandas, so that what is measured is how a worker copes with packages. */
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
    // numpy's threads do not fit into the default ten processes.
    'ol.yaml': 'limits:\n  procs: 32\n  mem_mb: 128\n',
  },
};

export interface Tally {
  successes: number;
  errors: number;
}

/** Calls named by a trace: one function's name a line, empty lines passed over. */
export function traceCalls(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

/** More failed calls than this part of all, in whole percents and rounded down as the original does, end a benchmark. */
export function tooManyErrors({ successes, errors }: Tally, percent: number): boolean {
  return errors > Math.floor((percent * (successes + errors)) / 100);
}

/** The line that ends a benchmark, in the original's shape: JSON with its spaces. */
export function resultLine(benchmark: string, seconds: number, { successes, errors }: Tally): string {
  const rate = seconds > 0 ? successes / seconds : 0;
  return (
    `{"benchmark": ${JSON.stringify(benchmark)},"seconds": ${seconds.toFixed(3)}, "successes": ${successes}, ` +
    `"errors": ${errors}, "ops/s": ${rate.toFixed(3)}}`
  );
}
