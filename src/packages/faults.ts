/** Collects what is wrong with the lines of a requirements file, so that one error names them all. */
import { ArgyleError } from '../errors';

/** Most lines that one error names. */
const MAX_NAMED = 10;

export class Faults {
  private readonly found: ArgyleError[] = [];

  /** Runs a check of one line; other errors than ArgyleError pass through. @returns undefined when it failed */
  check<T>(run: () => T): T | undefined {
    try {
      return run();
    } catch (thrown) {
      if (!(thrown instanceof ArgyleError)) throw thrown;
      if (this.found.length <= MAX_NAMED) this.found.push(thrown);
      return undefined;
    }
  }

  /** @throws ArgyleError of the first fault, with the messages of the others behind its own */
  throwIfAny(): void {
    const [first] = this.found;
    if (first === undefined) return;
    const named = this.found.slice(0, MAX_NAMED).map(({ message }) => message);
    const more = this.found.length > MAX_NAMED ? ['and more'] : [];
    const { code, field = '', value = '' } = first;
    throw new ArgyleError(code, [...named, ...more].join('; '), { field, value });
  }
}
