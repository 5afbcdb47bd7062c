/** Collects the faults of a requirements file, so that one error names all bad lines. */
import { ArgyleError } from '../../errors';

/** Maximum number of lines in one error. */
const MAX_NAMED = 10;

export class FaultList {
  private readonly found: ArgyleError[] = [];

  /** Runs the check of one line. Only ArgyleErrors are collected. @returns undefined when the check failed */
  check<T>(run: () => T): T | undefined {
    try {
      return run();
    } catch (thrown) {
      if (!(thrown instanceof ArgyleError)) throw thrown;
      if (this.found.length <= MAX_NAMED) this.found.push(thrown);
      return undefined;
    }
  }

  /** @throws ArgyleError the first fault, with the messages of the others appended */
  throwIfAny(): void {
    const [first] = this.found;
    if (first === undefined) return;
    const named = this.found.slice(0, MAX_NAMED).map(({ message }) => message);
    const more = this.found.length > MAX_NAMED ? ['and more'] : [];
    const { code, field = '', value = '' } = first;
    throw new ArgyleError(code, [...named, ...more].join('; '), { field, value });
  }
}
