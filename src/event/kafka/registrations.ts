/** Stores the registered triggers in a file of the worker's directory, so that they survive a restart. */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import type { KafkaTrigger } from '../../lambda/code/lambda-config';

const FILE = z.record(
  z.string(),
  z.array(
    z.object({ bootstrapServers: z.array(z.string()), topics: z.array(z.string()), autoOffsetReset: z.string() }),
  ),
);

export class Registrations {
  private writing: Promise<void> = Promise.resolve();

  /** @param path the file; the temporary file is made beside it */
  constructor(private readonly path: string) {}

  /** Returns the saved triggers; empty when there is no file. @throws Error for an unreadable or malformed file */
  async load(): Promise<Map<string, KafkaTrigger[]>> {
    let text: string;
    try {
      text = await readFile(this.path, 'utf8');
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
      throw thrown;
    }
    return new Map(Object.entries(FILE.parse(JSON.parse(text))));
  }

  /** Replaces the file after all earlier saves. @throws Error when the file cannot be written */
  save(triggers: ReadonlyMap<string, readonly KafkaTrigger[]>): Promise<void> {
    const text = `${JSON.stringify(Object.fromEntries(triggers), null, 2)}\n`;
    const write = this.writing.then(async () => {
      await writeFile(`${this.path}.new`, text, { mode: 0o600 });
      await rename(`${this.path}.new`, this.path);
    });
    this.writing = write.catch(() => undefined);
    return write;
  }
}
