/**
 * Keeps repeated errors from filling the log. The first error is written in full. Equal errors within 10 s are counted,
 * and one line then reports their number.
 */

/** Time after an error in which equal errors are only counted, ms. */
const WINDOW_MS = 10_000;
/**
 * POLICY: equal errors of different functions count as different, up to this many per window. Above it, function names
 * are ignored, since clients choose the names.
 */
const MOST_APART = 100;

interface Repeat {
  count: number;
  /** Writes the line with the number of repetitions. */
  report: (count: number) => void;
  timer: NodeJS.Timeout;
}

function text(fields: unknown, name: string): string {
  if (typeof fields !== 'object' || fields === null) return '';
  const value = (fields as Record<string, unknown>)[name];
  return typeof value === 'string' ? value : '';
}

function errorOf(fields: unknown): unknown {
  if (typeof fields !== 'object' || fields === null) return undefined;
  return 'err' in fields ? fields.err : undefined;
}

/** The code of an error report: its own field, or the field of its `err`. Pure. */
export function codeOf(fields: unknown): string {
  return text(fields, 'code') || text(errorOf(fields), 'code');
}

/** Whether a line reports an error: its level is at least `warn`, or it has an error field. Pure. */
export function isReport(level: number, fields: unknown): boolean {
  return level >= 40 || errorOf(fields) !== undefined || codeOf(fields) !== '';
}

export class Repeats {
  private readonly seen = new Map<string, Repeat>();

  /**
   * @param report is called at the window's end if the error was repeated
   * @returns whether to write this error
   */
  admit(fields: unknown, message: string, report: (count: number) => void): boolean {
    const error = errorOf(fields);
    const same = `${message}\n${codeOf(fields) || text(error, 'name')}`;
    const own = `${same}\n${text(fields, 'lambda')}`;
    const key = this.seen.has(own) || this.seen.size < MOST_APART ? own : same;
    const before = this.seen.get(key);
    if (before !== undefined) {
      before.count++;
      return false;
    }
    const timer = setTimeout(() => {
      this.end(key);
    }, WINDOW_MS).unref();
    this.seen.set(key, { count: 0, report, timer });
    return true;
  }

  /** Ends all windows. Call it before the process ends. */
  flush(): void {
    for (const key of [...this.seen.keys()]) this.end(key);
  }

  private end(key: string): void {
    const repeat = this.seen.get(key);
    if (repeat === undefined) return;
    clearTimeout(repeat.timer);
    this.seen.delete(key);
    if (repeat.count > 0) repeat.report(repeat.count);
  }
}
