/**
 * Keeps errors that repeat from filling the log: the first is written as it is, those that follow within 10 s are
 * counted, and one line then says how many there were.
 */

/** For this long after an error was written the same one is only counted, ms. */
const WINDOW_MS = 10_000;
/**
 * POLICY: the same error of another function is another error, up to this many in a window. Beyond that functions are
 * not told apart: names come from clients.
 */
const MOST_APART = 100;

interface Repeat {
  count: number;
  /** Writes the line that says how often it came again. */
  tell: (count: number) => void;
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

/** The code of an error report: its own field, or that of its `err`. Pure. */
export function codeOf(fields: unknown): string {
  return text(fields, 'code') || text(errorOf(fields), 'code');
}

/** Whether a line reports an error: a warning or worse, or any with an error in it. Pure. */
export function isReport(level: number, fields: unknown): boolean {
  return level >= 40 || errorOf(fields) !== undefined || codeOf(fields) !== '';
}

export class Repeats {
  private readonly seen = new Map<string, Repeat>();

  /**
   * @param tell called when the window ends, if the error came again meanwhile
   * @returns whether this one is to be written
   */
  admit(fields: unknown, message: string, tell: (count: number) => void): boolean {
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
    this.seen.set(key, { count: 0, tell, timer });
    return true;
  }

  /** Ends every window now, for a process that is about to end. */
  flush(): void {
    for (const key of [...this.seen.keys()]) this.end(key);
  }

  private end(key: string): void {
    const repeat = this.seen.get(key);
    if (repeat === undefined) return;
    clearTimeout(repeat.timer);
    this.seen.delete(key);
    if (repeat.count > 0) repeat.tell(repeat.count);
  }
}
