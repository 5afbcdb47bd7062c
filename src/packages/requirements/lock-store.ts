/** Stores the resolved pins of a function for one version of its archive. The entries survive restarts. */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Pin } from '../install/tools';

/** Folder below Pkgs_dir. Package names never begin with a dot. */
const FOLDER = '.locks';

const shape = z.object({
  version: z.string(),
  pins: z.array(z.object({ spec: z.string(), hashes: z.array(z.string()) })),
});

export class LockStore {
  constructor(private readonly pkgsDir: string) {}

  /** The pins for this version of the function's archive; undefined when none are stored. */
  async load(name: string, version: string): Promise<Pin[] | undefined> {
    try {
      const found = shape.parse(JSON.parse(await readFile(this.path(name), 'utf8')));
      return found.version === version ? found.pins : undefined;
    } catch {
      return undefined;
    }
  }

  /** Replaces the function's entry. @throws errors of the file system */
  async save(name: string, version: string, pins: readonly Pin[]): Promise<void> {
    await mkdir(join(this.pkgsDir, FOLDER), { recursive: true, mode: 0o700 });
    const draft = `${this.path(name)}.${process.pid}.new`;
    await writeFile(draft, JSON.stringify({ version, pins }), { mode: 0o600 });
    await rename(draft, this.path(name));
  }

  async forget(name: string): Promise<void> {
    await rm(this.path(name), { force: true });
  }

  private path(name: string): string {
    return join(this.pkgsDir, FOLDER, `${name}.json`);
  }
}
