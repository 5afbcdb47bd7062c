/** Simulates several event loops on machines with more CPUs than this one. Pure and deterministic. */
import { Heap } from 'heap-js';

/** CPU time of one call, µs. */
export interface CallCost {
  /** Time in the loop that parses the client's HTTP, µs. */
  readonly frontUs: number;
  /** Time in the core loop that all calls pass, µs; 0 without a core loop. */
  readonly coreUs: number;
  /** Time in the function's process, µs. */
  readonly guestUs: number;
}

export interface Machine {
  readonly processors: number;
  readonly loops: number;
  readonly clients: number;
  readonly calls?: number;
}

interface Step {
  readonly client: number;
  readonly phase: number;
}

/**
 * Calls per second of closed-loop clients: each sends its next call after the last answer. A loop does one thing at a
 * time. Functions have one instance per client. Every running step needs a CPU. Steps are served in the order in which
 * they became ready. Each takes an exponentially distributed time, drawn with a fixed seed.
 */
export function callsPerSecond(cost: CallCost, { processors, loops, clients, calls = 20_000 }: Machine): number {
  let seed = 1;
  const exponential = (mean: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return -mean * Math.log((seed + 1) / 2 ** 32);
  };
  const parts = [cost.frontUs / 2, cost.coreUs / 2, cost.guestUs, cost.coreUs / 2, cost.frontUs / 2];
  // The place of a step: its client's loop, the core, or its own process.
  const placeOf = ({ client, phase }: Step): string =>
    phase === 2 ? `guest${client}` : phase === 1 || phase === 3 ? 'core' : `loop${client % loops}`;
  const ready: Step[] = [];
  const running = new Heap<{ endMs: number; step: Step }>((a, b) => a.endMs - b.endMs);
  const busy = new Set<string>();
  for (let client = 0; client < clients; client++) ready.push({ client, phase: 0 });
  let nowMs = 0;
  let done = 0;
  while (done < calls) {
    for (let index = 0; index < ready.length && running.length < processors;) {
      const step = ready[index];
      if (step === undefined || busy.has(placeOf(step))) {
        index++;
        continue;
      }
      ready.splice(index, 1);
      busy.add(placeOf(step));
      running.push({ endMs: nowMs + exponential(parts[step.phase] ?? 0) / 1000, step });
    }
    const next = running.pop();
    if (next === undefined) break;
    nowMs = next.endMs;
    busy.delete(placeOf(next.step));
    let phase = next.step.phase + 1;
    if (cost.coreUs === 0 && (phase === 1 || phase === 3)) phase++;
    if (phase === parts.length) {
      done++;
      phase = 0;
    }
    ready.push({ ...next.step, phase });
  }
  return (done * 1000) / nowMs;
}
