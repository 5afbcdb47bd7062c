/**
 * One version of a function's code, unpacked. The instances that run this code share it. The code is removed after the
 * last instance.
 */
import type { LambdaConfig } from './lambda-config';
import type { PackageImport } from '../../sandbox/types';

export interface CodeFacts {
  /** Name of the function. */
  name: string;
  /** `<n>-<name>`: the directory below <worker_dir>/code. */
  codeName: string;
  /** Absolute path of that directory. */
  dir: string;
  /** Version of the archive in the registry. */
  version: string;
  config: LambdaConfig;
  runtime: 'python' | 'native';
  /** Python file of the entry, or f.bin. */
  entryFile: string;
  env: Record<string, string>;
  /** In the order of requirements.txt. */
  packages: PackageImport[];
}

export class CodeVersion {
  private holders = 1;

  /** @param onUnused called once, after the last release() */
  constructor(
    readonly facts: CodeFacts,
    private readonly onUnused: (code: CodeVersion) => void,
    /**
     * Values of the secrets when they were read; undefined before. They are kept out of `facts`, because `facts` may be
     * shown.
     */
    readonly secrets?: Readonly<Record<string, string>>,
  ) {}

  /**
   * Returns the same code with other secrets, as a new version for new instances. The new version retains this version,
   * and releases it after its own last instance.
   */
  withSecrets(secrets: Readonly<Record<string, string>>): CodeVersion {
    this.retain();
    return new CodeVersion(
      this.facts,
      () => {
        this.release();
      },
      secrets,
    );
  }

  /** Directories for sys.path. The original inserts each one at the front, so the last requirement comes first. */
  get sysPath(): string[] {
    return this.facts.packages.map(({ spec }) => `/packages/${spec}/files`).reverse();
  }

  retain(): void {
    this.holders++;
  }

  release(): void {
    if (--this.holders === 0) this.onUnused(this);
  }
}
