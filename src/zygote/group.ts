/** One set of packages and the zygotes that have imported it. */
import type { Stats } from '../metrics';
import type { SandboxFactory } from '../sandbox/factory';
import type { MemoryPool } from '../sandbox/pool';
import type { SandboxLimits } from '../sandbox/types';
import type { GroupSpec } from './birth';
import type { ZygoteProcess } from './live';
import type { ZygotePackages } from './plan-tree';

export interface GroupsOptions {
  pool: MemoryPool;
  packages: Pick<ZygotePackages, 'installedVersion'>;
  factory: SandboxFactory;
  stats: Stats;
  /** Limits that spares are made with. */
  leafLimits: SandboxLimits;
  /** Told of every zygote that could not be made, for the log. */
  onFailure?: ((id: string, error: unknown) => void) | undefined;
}

export interface Group {
  readonly spec: GroupSpec;
  readonly processes: ZygoteProcess[];
  creating: Promise<ZygoteProcess> | undefined;
  replicas: number;
  /** Spares over all replicas. */
  spares: number;
  draining: boolean;
  /** Its last process died in use, and another one is being made. */
  lost: boolean;
  /** Processes that died early, in a row. */
  deaths: number;
  /** No attempt to create it before this moment; doubles with each failure. */
  notBeforeMs: number;
  failures: number;
}
