/**
 * The directories of unpacked function code, `<worker_dir>/code/<n>-<name>`. The number n is unique among all
 * functions. Long names are cut.
 */
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { asArgyleError } from '../../errors';
import type { LambdaLog } from '../ports';

/** Longest name that the helper accepts, in characters. */
const MAX_CODE_NAME = 199;

export class CodeDirs {
  private next = 1;
  private readonly removals = new Set<Promise<void>>();

  /**
   * @param removeTree removes a directory and its contents, in another thread, because the directory may have 20,000
   *   entries
   * @param prefix of every directory's name; distinguishes these directories from others in the same place
   */
  constructor(
    private readonly root: string,
    private readonly log: LambdaLog,
    private readonly removeTree: (dir: string) => Promise<void>,
    private readonly prefix = '',
  ) {}

  /** Makes an empty directory. @throws ArgyleError LAMBDA_CODE */
  async make(name: string): Promise<{ codeName: string; dir: string }> {
    // The number makes the name unique, so the end of a long name can be cut.
    const codeName = `${this.prefix}${this.next++}-${name}`.slice(0, MAX_CODE_NAME);
    const dir = path.join(this.root, codeName);
    try {
      await fs.mkdir(dir, { recursive: true });
      // Sandboxes run as another user. The worker's umask must not deny them the code.
      await Promise.all([fs.chmod(this.root, 0o755), fs.chmod(dir, 0o755)]);
    } catch (thrown) {
      throw asArgyleError('LAMBDA_CODE', thrown);
    }
    return { codeName, dir };
  }

  /** Removes a directory. Never rejects. A failure is logged; the next start removes the whole worker directory. */
  remove(dir: string): Promise<void> {
    const removal = this.removeTree(dir).catch((thrown: unknown) => {
      this.log.warn({ dir, err: thrown }, 'could not remove old code');
    });
    this.removals.add(removal);
    return removal.finally(() => this.removals.delete(removal));
  }

  /** Resolves once no removal runs. */
  async settled(): Promise<void> {
    while (this.removals.size > 0) await Promise.all(this.removals);
  }
}
