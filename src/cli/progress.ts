/**
 * Shows the progress of a command in one line, on standard error, only on a terminal, and only while the command runs.
 * Programs that read the output do not see the line. POLICY: one self-replacing line is enough, so no library is used.
 */

/** Time between two redraws, ms. A shorter step is not shown at all. */
const EVERY_MS = 150;
const BAR = 20;
const FRAMES = ['|', '/', '-', '\\'];
const CLEAR = '\r\x1b[K';

export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** The text of the line after `seconds`. @param total 0 when unknown. Pure. */
export function progressLine(what: string, done: number, total: number, seconds: number, columns = 80): string {
  const turn = FRAMES[Math.floor(seconds * 5) % FRAMES.length] ?? '';
  const filled = Math.floor((Math.min(done, total) / Math.max(1, total)) * BAR);
  const bar = total === 0 ? '' : ` [${'#'.repeat(filled)}${'.'.repeat(BAR - filled)}] ${done}/${total}`;
  return `${turn} ${what}${bar}  ${seconds.toFixed(0)} s`.slice(0, Math.max(1, columns - 1));
}

export class Progress {
  private what = '';
  private done = 0;
  private total = 0;
  private sinceMs = 0;
  private drawn = false;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly stream: ProgressStream = process.stderr) {}

  /** Begins a step. @param total amount of work; 0 when unknown */
  step(what: string, total = 0): void {
    if (this.stream.isTTY !== true) return;
    Object.assign(this, { what, total, done: 0, sinceMs: performance.now() });
    this.timer ??= setInterval(() => {
      this.draw();
    }, EVERY_MS);
    this.timer.unref();
  }

  /** Sets the finished amount of the step. */
  at(done: number): void {
    this.done = done;
  }

  /** Wraps `print`: clears the progress line before each text. */
  around(print: (text: string) => void): (text: string) => void {
    return (text) => {
      this.clear();
      print(text);
    };
  }

  /** Clears the line. Call this on success and on failure. */
  end(): void {
    clearInterval(this.timer);
    this.timer = undefined;
    this.clear();
  }

  private draw(): void {
    // A terminal with an unknown width reports 0.
    const { columns = 0 } = this.stream;
    const seconds = (performance.now() - this.sinceMs) / 1000;
    this.stream.write(CLEAR + progressLine(this.what, this.done, this.total, seconds, columns > 0 ? columns : 80));
    this.drawn = true;
  }

  private clear(): void {
    if (this.drawn) this.stream.write(CLEAR);
    this.drawn = false;
  }
}

/** Runs `work` with a progress line. Clears the line on success and on failure. */
export async function withProgress<T>(work: (progress: Progress) => Promise<T>, stream?: ProgressStream): Promise<T> {
  const progress = new Progress(stream);
  try {
    return await work(progress);
  } finally {
    progress.end();
  }
}
