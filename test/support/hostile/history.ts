/** Which guest played which answers in which order, from the guests' output in the worker's log. */
import { closeSync, openSync, readSync } from 'node:fs';

/** A log line about an answer: number of the sandbox, number of the case, and the guest's name. */
const PLAYED = /"source":"[^"]*#(\d+)".*"played (\d+) ([0-9a-f]{16})"/;

export class History {
  private readonly buffer = Buffer.alloc(1 << 20);
  private readonly fd: number;
  private rest = '';
  /** The last case of each guest; `lastOfSandbox` has the same by sandbox number. */
  private readonly lastOfGuest = new Map<string, number>();
  private readonly lastOfSandbox = new Map<string, number>();
  /** For each case, the guest's previous case; undefined for the first one. */
  private readonly before = new Map<number, number | undefined>();

  /** @param file path of worker.out */
  constructor(file: string) {
    this.fd = openSync(file, 'r');
  }

  /** Reads the new lines of the log. */
  read(): void {
    for (;;) {
      const bytes = readSync(this.fd, this.buffer);
      if (bytes === 0) return;
      const lines = (this.rest + this.buffer.toString('latin1', 0, bytes)).split('\n');
      this.rest = lines.pop() ?? '';
      for (const line of lines) this.take(line);
    }
  }

  has(number: number): boolean {
    return this.before.has(number);
  }

  get guests(): number {
    return this.lastOfGuest.size;
  }

  /** The previous case of a case's guest; undefined for its first case. */
  previous(number: number): number | undefined {
    return this.before.get(number);
  }

  /** The last case of a sandbox; undefined without cases. */
  last(sandbox: string): number | undefined {
    return this.lastOfSandbox.get(sandbox);
  }

  close(): void {
    closeSync(this.fd);
  }

  private take(line: string): void {
    const found = PLAYED.exec(line);
    if (found === null) return;
    const [, sandbox = '', digits = '', guest = ''] = found;
    const number = Number(digits);
    this.before.set(number, this.lastOfGuest.get(guest));
    this.lastOfGuest.set(guest, number);
    this.lastOfSandbox.set(sandbox, number);
  }
}
