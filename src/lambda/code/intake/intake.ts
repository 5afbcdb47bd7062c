/** The intake stores every archive that enters the worker in a file. A thread examines the file. */
import { randomBytes } from 'node:crypto';
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import type { Readable } from 'node:stream';
import { ArgyleError } from '../../../errors';
import type { LambdaConfig } from '../lambda-config';
import { receive } from './receive';
import type { Examined, IntakeRules } from './steps';
import { IntakeThreads } from './threads';

export interface IntakeOptions {
  /** Existing directory for archives that were not examined yet. */
  stagingDir: string;
  rules: IntakeRules;
  /** Longest time for one archive, in s. */
  timeoutSec: number;
}

/**
 * Number of threads for uploads, and number of threads for pulls. The threads are separate, because uploads must not
 * delay calls that wait for their code.
 */
const THREADS = 2;
/** Longest time for removing one directory, in s. */
const REMOVAL_SEC = 120;

export class Intake {
  private readonly uploads: IntakeThreads;
  private readonly pulls: IntakeThreads;
  private readonly removals: IntakeThreads;

  constructor(private readonly options: IntakeOptions) {
    const { timeoutSec } = options;
    this.uploads = new IntakeThreads({ most: THREADS, timeoutSec });
    // A call waits for each pull, so one thread for pulls stays ready.
    this.pulls = new IntakeThreads({ most: THREADS, keep: 1, timeoutSec });
    this.removals = new IntakeThreads({ most: 1, timeoutSec: REMOVAL_SEC });
  }

  /**
   * Examines an upload like a pull, but more strictly. No files are left behind.
   * @throws ArgyleError LAMBDA_CODE, LAMBDA_CONFIG, REQUIREMENT_INVALID
   */
  async check(file: string): Promise<Examined> {
    const dir = this.stagingPath('check');
    await fs.mkdir(dir, { mode: 0o700 });
    try {
      const { rules } = this.options;
      return await this.uploads.run({ kind: 'examine', file, dir, shownDir: 'the archive', strict: true, rules });
    } catch (thrown) {
      // The thread has already removed the directory, unless the thread was ended.
      await this.remove(dir);
      throw thrown;
    }
  }

  /** Unpacks a stored archive into an existing empty directory, in which its code runs. @throws as check(), REGISTRY */
  unpack(data: Readable, dir: string): Promise<Examined> {
    const { rules } = this.options;
    return this.staged(data, (file) =>
      this.pulls.run({ kind: 'examine', file, dir, shownDir: dir, strict: false, rules }),
    );
  }

  /** Unpacks an archive from a file, without examining its contents. @throws ArgyleError LAMBDA_CODE */
  unpackFile(file: string, dir: string): Promise<void> {
    return this.pulls.run({ kind: 'unpack', file, dir, rules: this.options.rules });
  }

  /** Reads the ol.yaml of a stored archive. @throws ArgyleError LAMBDA_CODE, LAMBDA_CONFIG, REGISTRY */
  config(data: Readable): Promise<LambdaConfig> {
    const { rules } = this.options;
    return this.staged(data, (file) => this.uploads.run({ kind: 'config', file, rules }));
  }

  /** Removes a directory with its contents. A missing directory is no error. */
  readonly remove = (dir: string): Promise<void> => this.removals.run({ kind: 'remove', dir });

  /** Calls `use` with the path of a file that does not exist yet, and removes this file afterwards. */
  async withFile<T>(use: (file: string) => Promise<T>): Promise<T> {
    const file = this.stagingPath('upload');
    try {
      return await use(file);
    } finally {
      await fs.rm(file, { force: true });
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.uploads.close(), this.pulls.close(), this.removals.close()]);
  }

  private staged<T>(data: Readable, use: (file: string) => Promise<T>): Promise<T> {
    const { maxBytes } = this.options.rules.archive;
    const tooLarge = new ArgyleError('LAMBDA_CODE', `the stored archive has more than ${maxBytes} bytes`);
    return this.withFile(async (file) => {
      await receive(data, file, maxBytes, tooLarge);
      return use(file);
    });
  }

  private stagingPath(prefix: string): string {
    return path.join(this.options.stagingDir, `${prefix}-${randomBytes(8).toString('hex')}`);
  }
}
