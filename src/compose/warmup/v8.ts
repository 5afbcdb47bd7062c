/** Options of V8. README.md of this folder has the measurements. */
import { setFlagsFromString } from 'node:v8';

interface V8Option {
  name: string;
  /** Undefined for an option without a value. */
  value?: number;
  /**
   * `start`: the first line of `bin/ol` sets the option, because V8 takes this option only at the start of a process.
   */
  when: 'start' | 'running';
  /** First major version of Node that no longer knows the option. Argyle supports Node 20 and newer. */
  goneFrom?: number;
}

/** Every option of V8 that Argyle sets. A test compares the table with `bin/ol`. */
export const V8_OPTIONS: readonly V8Option[] = [
  // Delay of a background compilation after its request, in ms.
  { name: 'concurrent-recompilation-delay', value: 5, when: 'start' },
  // Size of the young space, in MB. The young space fills while the worker serves. idle-gc.ts empties it when the
  // worker is idle.
  { name: 'min-semi-space-size', value: 16, when: 'start' },
  { name: 'max-semi-space-size', value: 16, when: 'start' },
  // No collection of old garbage between two requests.
  { name: 'no-memory-reducer', when: 'start' },
  // The heap doubles before the next collection of old garbage.
  { name: 'heap-growing-percent', value: 100, when: 'start' },
  // Bytes of bytecode that a function runs before V8 optimizes it. V8's own value is 67,584 bytes.
  { name: 'interrupt-budget', value: 8000, when: 'running', goneFrom: 24 },
];

const BUDGET = V8_OPTIONS.find(({ when }) => when === 'running');
/** Interrupt budget during the warm-up, in bytes of bytecode. */
const WARMUP_BUDGET = 1000;

/** V8's interrupt budget. It has no effect on a Node without the option. */
export class InterruptBudget {
  /** @param node version, such as `20.11.0` */
  constructor(
    private readonly node: string = process.versions.node,
    private readonly set: (flag: string) => void = setFlagsFromString,
  ) {}

  /**
   * Options of the table that this version of Node does not have. Argyle leaves these options out, because V8 reports
   * an unknown option only on stderr.
   */
  get missing(): string[] {
    const major = Number.parseInt(this.node, 10);
    return V8_OPTIONS.filter(({ goneFrom = Infinity }) => major >= goneFrom).map(({ name }) => name);
  }

  /** @param eager true: V8 optimizes a function after a few runs (warm-up); false: after the usual number of runs */
  setEager(eager: boolean): void {
    if (this.missing.length > 0 || BUDGET?.value === undefined) return;
    this.set(`--${BUDGET.name}=${eager ? WARMUP_BUDGET : BUDGET.value}`);
  }
}
