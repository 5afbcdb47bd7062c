/** The benchmarks of `ol bench`, and the functions that they call. Pure. */

export type Kind = 'py' | 'pd';

export interface Benchmark {
  name: string;
  kind: Kind;
  /** Different functions that are called. */
  functions: number;
  /** Requests at the same time. */
  tasks: number;
}

/** Sizes of the original: one that fits into memory, one that needs evictions, one that always misses. */
const SIZES = [64, 1024, 64 * 1024];
/** Requests at the same time in a `-par` benchmark, unless -t says otherwise. */
export const PARALLEL_TASKS = 100;

export const KINDS: readonly Kind[] = ['py', 'pd'];

/** `py64-seq`, `py64-par`, … `pd65536-par`. */
export const BENCHMARKS: readonly Benchmark[] = KINDS.flatMap((kind) =>
  SIZES.flatMap((functions) => [
    { name: `${kind}${functions}-seq`, kind, functions, tasks: 1 },
    { name: `${kind}${functions}-par`, kind, functions, tasks: PARALLEL_TASKS },
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

/** The line that ends a benchmark, in the original's shape: JSON with its spaces. */
export function resultLine(benchmark: string, seconds: number, { successes, errors }: Tally): string {
  const rate = seconds > 0 ? successes / seconds : 0;
  return (
    `{"benchmark": ${JSON.stringify(benchmark)},"seconds": ${seconds.toFixed(3)}, "successes": ${successes}, ` +
    `"errors": ${errors}, "ops/s": ${rate.toFixed(3)}}`
  );
}
