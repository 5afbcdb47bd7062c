/**
 * The names of functions with kept instances, in a file of the worker's directory. The next worker keeps these
 * instances, too.
 */
import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import type { LambdaLog } from '../ports';

/** Maximum number of names that are read from the file. */
const MOST = 10_000;

export class KeptNames {
  private writing: Promise<void> = Promise.resolve();

  /** @param path of the file; a temporary file is made beside it */
  constructor(
    private readonly path: string,
    private readonly log: Pick<LambdaLog, 'warn'>,
  ) {}

  /** The names that were saved last. Empty when the file is missing or is no list of names. */
  load(): string[] {
    try {
      const found: unknown = JSON.parse(readFileSync(this.path, 'utf8'));
      if (!Array.isArray(found)) throw new Error('it is no list');
      return found.filter((name): name is string => typeof name === 'string').slice(0, MOST);
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'ENOENT') this.log.warn({ err }, `${this.path} is not used`);
      return [];
    }
  }

  /** Replaces the file, after earlier saves have ended. Never rejects. */
  save(names: readonly string[]): Promise<void> {
    this.writing = this.writing
      .then(async () => {
        await writeFile(`${this.path}.new`, `${JSON.stringify(names)}\n`, { mode: 0o600 });
        await rename(`${this.path}.new`, this.path);
      })
      .catch((err: unknown) => {
        this.log.warn({ err }, `${this.path} could not be written`);
      });
    return this.writing;
  }

  /** Resolves once the last save has ended. */
  settled(): Promise<void> {
    return this.writing;
  }
}
