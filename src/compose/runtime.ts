/** How Node's own runtime is set up for a worker. Measurements: docs/adr/0006. */
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { promisify } from 'node:util';

/**
 * Bytes of bytecode that a function runs before V8 optimizes it. Its default, 66 KB, leaves a worker with unoptimized
 * code for its first thousands of requests; this one for its first hundreds.
 */
const INTERRUPT_BUDGET = 8000;
/** Gone from V8 13, and so from Node 24. */
const BUDGET_OPTION = 'interrupt-budget';
/** The same while a worker rehearses, to have done with it sooner. */
const REHEARSAL_BUDGET = 1000;
/**
 * Nice value of V8's threads, a tenth of the main thread's share where they compete: a compilation takes up to 8 ms,
 * which requests and sandboxes otherwise wait for. Not the lowest, because the main thread waits for them when young
 * garbage is collected.
 */
const BACKGROUND_NICE = 10;

/**
 * The threads that this process has beside its main one. Called first of all these are V8's: those that Node uses for
 * files come with their first use.
 */
export function runtimeThreads(): number[] {
  try {
    return readdirSync('/proc/self/task')
      .map(Number)
      .filter((tid) => tid !== process.pid);
  } catch {
    return []; // no Linux: short commands work there too
  }
}

/** Longest time in which Node lists its options, ms. */
const LIST_MS = 5000;
/** Node 24 lists 130 KB. */
const LIST_BYTES = 4 << 20;

/** Names of V8's options in the text that `node --v8-options` prints. Pure. */
export function optionNames(text: string): ReadonlySet<string> {
  return new Set([...text.matchAll(/^\s+--([a-z0-9-]+) \(/gm)].map(([, name = '']) => name));
}

/** The options that a Node knows. V8 tells an unknown one by a message on stderr only. Empty when Node does not answer. */
export async function knownOptions(node = process.execPath): Promise<ReadonlySet<string>> {
  const options = { timeout: LIST_MS, maxBuffer: LIST_BYTES };
  const answer = await promisify(execFile)(node, ['--v8-options'], options).catch(() => undefined);
  return optionNames(answer?.stdout ?? '');
}

/** V8's eagerness to optimize; without effect on a Node that has no such option. */
export class Eagerness {
  /** @param known what knownOptions() says */
  constructor(
    private readonly known: ReadonlySet<string>,
    private readonly set: (flag: string) => void = setFlagsFromString,
  ) {}

  /** V8's options that Argyle sets and this Node does not know. */
  get missing(): string[] {
    return [BUDGET_OPTION].filter((name) => !this.known.has(name));
  }

  /** Has V8 optimize code after a few runs, or again after the usual number of them. */
  optimizeEagerly(eagerly: boolean): void {
    if (this.missing.length === 0) this.set(`--${BUDGET_OPTION}=${eagerly ? REHEARSAL_BUDGET : INTERRUPT_BUDGET}`);
  }
}

/** Has V8 run its threads behind everything else. @param threads V8's own */
export function tuneRuntime(threads: readonly number[]): void {
  for (const tid of threads) {
    try {
      setPriority(tid, Math.max(getPriority(tid), BACKGROUND_NICE));
    } catch {
      // It has ended.
    }
  }
}
