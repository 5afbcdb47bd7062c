/** CPU time and memory of functions, from the cgroups of their sandboxes. */
import { Counter, Gauge, type Registry } from 'prom-client';

export interface UsedSandbox {
  /** Rejects when the sandbox is gone. */
  usage(): Promise<{ memBytes: number; cpuUsec: number }>;
}

/** Maximum number of sandboxes that one scrape reads. If there are more, several scrapes share them. */
const MAX_LOOKS = 256;
/** Lifetime of cached values, ms. */
const FRESH_MS = 1000;
/** Time limit of a scrape's wait for new values, ms. */
const WAIT_MS = 1000;

export class FunctionUsage {
  private readonly known = new WeakMap<UsedSandbox, { memBytes: number; cpuUsec: number }>();
  private readonly cpuUsec = new Map<string, number>();
  private memBytes = new Map<string, number>();
  private sampling: Promise<void> | undefined;
  private sampledMs = -Infinity;
  private at = 0;

  /** @param labelOf limits the number of series */
  constructor(
    private readonly sandboxes: () => Iterable<readonly [lambda: string, sandbox: UsedSandbox]>,
    private readonly labelOf: (lambda: string) => string,
  ) {}

  register(registry: Registry): void {
    const sample = (): Promise<void> => this.sample();
    const [cpu, memory] = [() => this.cpuUsec, () => this.memBytes];
    new Gauge({
      name: 'argyle_function_memory_bytes',
      help: 'Memory of the sandboxes of a function.',
      labelNames: ['lambda'],
      registers: [registry],
      async collect() {
        await sample();
        this.reset();
        for (const [lambda, bytes] of memory()) this.set({ lambda }, bytes);
      },
    });
    new Counter({
      name: 'argyle_function_cpu_seconds_total',
      help: 'Processor time of the sandboxes of a function, looked at by each scrape: what they take behind the last is not in it.',
      labelNames: ['lambda'],
      registers: [registry],
      async collect() {
        await sample();
        this.reset();
        for (const [lambda, usec] of cpu()) this.inc({ lambda }, usec / 1e6);
      },
    });
  }

  /** Reads the sandboxes, unless the cached values are still valid. Never rejects. */
  private sample(): Promise<void> {
    if (performance.now() - this.sampledMs < FRESH_MS) return Promise.resolve();
    this.sampling ??= this.look().finally(() => {
      this.sampling = undefined;
      this.sampledMs = performance.now();
    });
    return this.sampling;
  }

  private async look(): Promise<void> {
    const all = [...this.sandboxes()];
    const from = all.length > MAX_LOOKS ? this.at % all.length : 0;
    this.at = from + MAX_LOOKS;
    const some = [...all.slice(from), ...all.slice(0, from)].slice(0, MAX_LOOKS);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, WAIT_MS)));
    await Promise.race([Promise.all(some.map(([lambda, sandbox]) => this.lookAt(lambda, sandbox))), late]);
    clearTimeout(timer);
    const memBytes = new Map<string, number>();
    for (const [lambda, sandbox] of all) {
      const label = this.labelOf(lambda);
      memBytes.set(label, (memBytes.get(label) ?? 0) + (this.known.get(sandbox)?.memBytes ?? 0));
    }
    this.memBytes = memBytes;
  }

  private async lookAt(lambda: string, sandbox: UsedSandbox): Promise<void> {
    try {
      const { memBytes, cpuUsec } = await sandbox.usage();
      const label = this.labelOf(lambda);
      const more = Math.max(0, cpuUsec - (this.known.get(sandbox)?.cpuUsec ?? 0));
      this.cpuUsec.set(label, (this.cpuUsec.get(label) ?? 0) + more);
      this.known.set(sandbox, { memBytes, cpuUsec });
    } catch {
      // The sandbox has ended in the meantime.
    }
  }
}
