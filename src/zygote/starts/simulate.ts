/** Simulates the queue of starts: shared processors, imports, and zygotes that work, fail or hang. Deterministic. */
import { Heap } from 'heap-js';
import { StartQueue, type StartProfile, type StartEstimate } from './queue';

export type ZygoteOutcome = 'works' | 'fails' | 'hangs' | 'impossible';

export interface SimKind {
  /** CPU time of the imports, in ms. */
  readonly importMs: number;
  /** The worker's estimate of the imports, in ms; `importMs` when absent. */
  readonly guessMs?: number;
  readonly zygote: ZygoteOutcome;
}

export interface SimCall {
  readonly atMs: number;
  readonly fn: string;
  /** Index into `kinds`. */
  readonly kind: number;
  /** Time that the handler waits after its imports and before its answer, in ms. */
  readonly waitMs?: number;
}

export interface SimOptions {
  readonly cpus: number;
  readonly kinds: readonly SimKind[];
  readonly calls: readonly SimCall[];
  /** false: every start begins at once, and imports by itself when there is no zygote. */
  readonly queued?: boolean;
}

export interface SimOutcome {
  /** Time from each call to its answer, in ms, in the order of the calls. */
  readonly ms: readonly number[];
  /** Number of imports of each kind, in zygotes and in fresh processes. */
  readonly imports: readonly number[];
  /** Largest number of concurrent imports. */
  readonly mostAtOnce: number;
  /** Time of the last answer, in ms. */
  readonly endMs: number;
  /** Total CPU time, in ms. */
  readonly workMs: number;
}

/** CPU time of a start and of a zygote without imports, in ms, as measured in the worker. */
const FRESH_MS = 20;
const FORK_MS = 2;
const ZYGOTE_START_MS = 30;
/** Back-off after a failed zygote, in ms. */
const AGAIN_MS = 1000;

interface Task {
  leftMs: number;
  isImport: boolean;
  readonly done: () => void;
}

/** Simulated time, timers, and processors that all tasks share equally. */
class Machine {
  nowMs = 0;
  workMs = 0;
  mostImports = 0;
  private readonly timers = new Heap<{ atMs: number; n: number; run: () => void }>(
    (a, b) => a.atMs - b.atMs || a.n - b.n,
  );
  private readonly tasks = new Set<Task>();
  private count = 0;

  constructor(private readonly cpus: number) {}

  later(run: () => void, ms: number): void {
    this.timers.push({ atMs: this.nowMs + ms, n: this.count++, run });
  }

  compute(ms: number, isImport: boolean, done: () => void): void {
    this.tasks.add({ leftMs: ms, isImport, done });
    this.mostImports = Math.max(this.mostImports, [...this.tasks].filter((task) => task.isImport).length);
  }

  /** Processes the next event; returns false when there is none. */
  step(): boolean {
    const speed = Math.min(1, this.cpus / this.tasks.size);
    let next: Task | undefined;
    for (const task of this.tasks) if (next === undefined || task.leftMs < next.leftMs) next = task;
    const timer = this.timers.peek();
    const taskMs = next === undefined ? Infinity : this.nowMs + next.leftMs / speed;
    if (timer === undefined && next === undefined) return false;
    const atMs = Math.min(taskMs, timer?.atMs ?? Infinity);
    const passed = (atMs - this.nowMs) * speed;
    for (const task of this.tasks) {
      task.leftMs -= passed;
      this.workMs += passed;
    }
    this.nowMs = Math.max(this.nowMs, atMs);
    if (taskMs <= (timer?.atMs ?? Infinity) && next !== undefined) {
      this.tasks.delete(next);
      next.done();
    } else this.timers.pop()?.run();
    return true;
  }
}

type State = 'none' | 'coming' | 'ready';

/** A profile in the simulated worker. */
class World implements StartProfile {
  readonly id: string;
  imports = 0;
  private state: State = 'none';
  private sinceMs = 0;
  private notBeforeMs = 0;

  constructor(
    index: number,
    private readonly kind: SimKind,
    private readonly machine: Machine,
    private readonly changed: () => void,
  ) {
    this.id = String(index);
  }

  get isReady(): boolean {
    return this.state === 'ready';
  }

  estimate(): StartEstimate {
    const { nowMs } = this.machine;
    const guessMs = this.kind.guessMs ?? this.kind.importMs;
    if (this.isReady) return { ownMs: FORK_MS };
    const ownMs = FRESH_MS + guessMs;
    const zygoteMs = ZYGOTE_START_MS + guessMs;
    const lateMs = nowMs - this.sinceMs - zygoteMs;
    if (this.state === 'coming') {
      if (lateMs > zygoteMs) return { ownMs };
      return { ownMs, coming: { inMs: Math.max(5, -lateMs), ownMs: FORK_MS } };
    }
    const may = this.kind.zygote !== 'impossible' && nowMs >= this.notBeforeMs;
    return may ? { ownMs, possible: { inMs: zygoteMs, ownMs: FORK_MS } } : { ownMs };
  }

  makeZygote(): Promise<void> {
    this.state = 'coming';
    this.sinceMs = this.machine.nowMs;
    this.imports++;
    // The queue only calls then(). A real promise would run the callback outside of simulated time.
    const ended: (() => void)[] = [];
    const promise = { then: (run: () => void) => ended.push(run) } as unknown as Promise<void>;
    if (this.kind.zygote === 'hangs') return promise;
    this.machine.compute(ZYGOTE_START_MS + this.kind.importMs, true, () => {
      this.state = this.kind.zygote === 'works' ? 'ready' : 'none';
      if (!this.isReady) this.notBeforeMs = this.machine.nowMs + AGAIN_MS;
      ended.forEach((run) => {
        run();
      });
      this.changed();
    });
    return promise;
  }
}

/** Simulates the calls. Every call starts one sandbox. */
export async function simulateStarts({ cpus, kinds, calls, queued = true }: SimOptions): Promise<SimOutcome> {
  const machine = new Machine(cpus);
  const queue = new StartQueue({
    cpus,
    now: () => machine.nowMs,
    later: (run, ms) => {
      machine.later(run, ms);
    },
  });
  const worlds = kinds.map((kind, index) => new World(index, kind, machine, () => queue.changed()));
  const ms = calls.map(() => Infinity);
  const play = async (call: SimCall, index: number): Promise<void> => {
    const world = worlds[call.kind];
    const kind = kinds[call.kind];
    if (world === undefined || kind === undefined) return;
    const wish = { isWanted: () => true, onTurn: () => undefined };
    const turn = queued ? await queue.enter(call.fn, world, wish) : undefined;
    const answer = (): void => {
      machine.later(() => {
        ms[index] = machine.nowMs - call.atMs;
      }, call.waitMs ?? 0);
      turn?.leave();
    };
    if (world.isReady) machine.compute(FORK_MS, false, answer);
    else {
      world.imports++;
      machine.compute(FRESH_MS + kind.importMs, true, answer);
    }
  };
  calls.forEach((call, index) => {
    machine.later(() => void play(call, index), call.atMs);
  });
  // Pending promises resolve before the simulated time advances.
  while (machine.step()) for (let tick = 0; tick < 4; tick++) await Promise.resolve();
  return {
    ms,
    imports: worlds.map(({ imports }) => imports),
    mostAtOnce: machine.mostImports,
    endMs: Math.max(0, ...calls.map(({ atMs }, index) => atMs + (ms[index] ?? 0))),
    workMs: machine.workMs,
  };
}
