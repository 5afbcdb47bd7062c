/** One state of a function's code, unpacked; shared by the instances that run it, and removed after the last one. */
import type { LambdaConfig } from './lambda-config';
import type { PackageImport } from '../sandbox/types';

export interface CodeFacts {
  /** Name of the function. */
  name: string;
  /** `<n>-<name>`: the directory below <worker_dir>/code. */
  codeName: string;
  /** Absolute path of that directory. */
  dir: string;
  /** What the registry called this state. */
  version: string;
  config: LambdaConfig;
  runtime: 'python' | 'native';
  /** Python file that holds the entry, or f.bin. */
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
  ) {}

  /** Directories for sys.path. Each was inserted at its front in the original, so the last requirement comes first. */
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
