/** Builds and uploads the functions of the cache bench. */
import type { Trace, TraceOptions } from '../../src/zygote/simulate/trace';
import { makeTrace } from '../../src/zygote/simulate/trace';
import type { PackageData } from '../../src/zygote/simulate/reqbench';
import type { PinKey } from '../../src/zygote/policy/types';
import type { LiveWorker } from '../subjects/live-worker';

/** Time limit for the install of one set, ms. */
const INSTALL_MS = 180_000;
/** Sets that are installed at the same time. */
const AT_ONCE = 3;
/** Time of the handler itself, ms. The handler returns at once, since the bench measures imports. */
const EXEC_MS = 1;

/** Name prefix of the functions that test packages. */
const PROBE = 'probe';

/** Removes the calls that tested packages from a dep-trace.json. Pure. */
export function withoutProbes(trace: string): string {
  const isProbe = (line: string): boolean => line.includes(`"invocation"`) && line.includes(`"name":"${PROBE}`);
  return trace
    .split('\n')
    .filter((line) => !isProbe(line))
    .join('\n');
}

/** A function that imports modules one by one and returns those that can be imported. */
function probe(modules: readonly string[]): string {
  return `import importlib

found = []
for name in ${JSON.stringify(modules)}:
    try:
        importlib.import_module(name)
        found.append(name)
    except BaseException:
        pass


def f(event):
    return found
`;
}

/** A handler that has imported all modules of its packages. */
function handler(modules: readonly string[]): string {
  return `${modules.map((name) => `import ${name}\n`).join('')}\n\ndef f(event):\n    return 1\n`;
}

const lines = (pins: readonly PinKey[]): string => pins.map((pin) => `${pin}\n`).join('');

function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const late = new Promise<never>((_, reject) => {
    setTimeout(() => {
      reject(new Error(`no end in ${ms / 1000} s`));
    }, ms).unref();
  });
  return Promise.race([work, late]);
}

/** The part of a source that works on this machine. */
export interface Usable {
  readonly data: PackageData;
  /** Importable modules, by package. */
  readonly modules: ReadonlyMap<PinKey, readonly string[]>;
}

/**
 * Installs every set of a source and imports it once. All workers share the packages directory. A set that cannot be
 * installed, or whose import ends its process, is left out and logged.
 */
export async function tryAll(
  worker: LiveWorker,
  source: { data: PackageData; modulesOf: (key: PinKey) => readonly string[] },
  log: (line: string) => void,
): Promise<Usable> {
  const modules = new Map<PinKey, readonly string[]>();
  const tryOne = async (pins: readonly PinKey[], index: number): Promise<boolean> => {
    const name = `${PROBE}${index}`;
    const all = pins.flatMap((key) => source.modulesOf(key));
    try {
      await within(INSTALL_MS, worker.install(name, { 'f.py': probe(all), 'requirements.txt': lines(pins) }, 'wait'));
      const { text } = await within(INSTALL_MS, worker.call(name, '{}'));
      const found = new Set(JSON.parse(text) as string[]);
      for (const key of pins)
        modules.set(
          key,
          source.modulesOf(key).filter((module) => found.has(module)),
        );
      return true;
    } catch (thrown) {
      log(`left out ${pins.join(' ')}: ${String(thrown).slice(0, 300)}`);
      return false;
    }
  };
  const { sets } = source.data;
  const usable: (typeof sets)[number][] = [];
  const queue = sets.map((set, index) => ({ set, index }));
  // Several installs run at a time, while the calls of one timer run one after the other.
  const loop = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      if (await tryOne(next.set.pins, next.index)) usable.push(next.set);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, loop));
  // In the source's order, so that the same random draws give the same trace.
  return { data: { ...source.data, sets: sets.filter((set) => usable.includes(set)) }, modules };
}

/** The trace over the usable sets. The same options and sets give the same trace. */
export function traceOf(data: PackageData, options: TraceOptions): Trace {
  const { functions, invocations } = makeTrace(data, options);
  return { functions, invocations: invocations.map(({ atMs, fn }) => ({ atMs, fn, execMs: EXEC_MS })) };
}

/** Uploads all functions of a trace. Their packages are installed already. */
export async function deployAll(worker: LiveWorker, { functions }: Trace, { modules }: Usable): Promise<void> {
  for (const { name, pins } of functions) {
    const files = { 'f.py': handler(pins.flatMap((key) => modules.get(key) ?? [])), 'requirements.txt': lines(pins) };
    await worker.install(name, files, 'wait');
  }
}
