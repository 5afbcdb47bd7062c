/** The directories that function code is unpacked to, `<worker_dir>/code/<n>-<name>`; n counts all functions. */
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { asArgyleError } from '../errors';
import type { LambdaLog } from './ports';

export class CodeDirs {
  private next = 1;
  private readonly removals = new Set<Promise<void>>();

  /**
   * @param removeTree removes a directory with what it holds; of 50,000 entries that keeps a thread busy for a second
   * @param prefix of every directory's name, to keep apart from others in the same place.
   */
  constructor(
    private readonly root: string,
    private readonly log: LambdaLog,
    private readonly removeTree: (dir: string) => Promise<void>,
    private readonly prefix = '',
  ) {}

  /** Makes an empty directory. @throws ArgyleError LAMBDA_CODE */
  async make(name: string): Promise<{ codeName: string; dir: string }> {
    const codeName = `${this.prefix}${this.next++}-${name}`;
    const dir = path.join(this.root, codeName);
    try {
      await fs.mkdir(dir, { recursive: true });
      // Sandboxes run as another user; the worker's own umask must not hide the code from them.
      await Promise.all([fs.chmod(this.root, 0o755), fs.chmod(dir, 0o755)]);
    } catch (thrown) {
      throw asArgyleError('LAMBDA_CODE', thrown);
    }
    return { codeName, dir };
  }

  /** Never rejects: what can't be removed is logged, and goes with the worker directory at the next start. */
  remove(dir: string): Promise<void> {
    const removal = this.removeTree(dir).catch((thrown: unknown) => {
      this.log.warn({ dir, err: thrown }, 'could not remove old code');
    });
    this.removals.add(removal);
    return removal.finally(() => this.removals.delete(removal));
  }

  /** Resolves once no removal is under way. */
  async settled(): Promise<void> {
    while (this.removals.size > 0) await Promise.all(this.removals);
  }
}
