import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { basename, join } from 'node:path';
import { z } from 'zod';

const Answer = z.object({ ms: z.number(), status: z.number(), output: z.string() });
const Ready = z.object({ ready: z.literal(true), mb: z.number() });

export type Order =
  | { op: 'fork' }
  /** @property cgroups limits by file, for each cgroup that is made for the program */
  | { op: 'spawn'; argv: string[]; cgroups?: Record<string, Record<string, string>> }
  | { op: 'http'; port: number; path: string; body: string };

const nameOf = (order: Order): string => {
  if (order.op === 'spawn') return basename(order.argv[0] ?? '');
  return order.op === 'http' ? order.path : order.op;
};

/** A running bench/guest/timer.py. It starts programs or forks itself, and measures both close to the kernel. */
export class Timer {
  private readonly lines: AsyncIterator<string>;

  private constructor(
    private readonly child: ChildProcess,
    lines: AsyncIterable<string>,
  ) {
    this.lines = lines[Symbol.asyncIterator]();
  }

  /**
   * @param root the project's directory
   * @param args arguments of timer.py
   * @throws Error when Python or a module to import is missing
   */
  static async start(root: string, args: readonly string[] = []): Promise<Timer> {
    const script = join(root, 'bench/guest/timer.py');
    const child = spawn('/usr/bin/python3', ['-I', '-S', script, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    const timer = new Timer(child, createInterface({ input: child.stdout }));
    Ready.parse(JSON.parse(await timer.line()));
    return timer;
  }

  /** Executes an order and returns its time, ms. Throws with the program's output when it did not exit with 0. */
  async time(order: Order): Promise<number> {
    return (await this.carryOut(order)).ms;
  }

  /**
   * Posts JSON. Returns the time to the first byte of the answer, ms, and the body. Throws when the status is not 200.
   */
  async post(port: number, path: string, body: string): Promise<{ ms: number; output: string }> {
    return this.carryOut({ op: 'http', port, path, body });
  }

  stop(): void {
    this.child.stdin?.end();
  }

  private async carryOut(order: Order): Promise<z.infer<typeof Answer>> {
    this.child.stdin?.write(`${JSON.stringify(order)}\n`);
    const answer = Answer.parse(JSON.parse(await this.line()));
    if (answer.status !== 0) throw new Error(`${nameOf(order)} ended with ${answer.status}: ${answer.output}`);
    return answer;
  }

  private async line(): Promise<string> {
    const next = await this.lines.next();
    if (next.done === true) throw new Error('bench/guest/timer.py ended');
    return next.value;
  }
}
