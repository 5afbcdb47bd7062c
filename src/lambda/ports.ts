/** What lambda/ needs of the layers beside and above it. Each is an interface, so that main.ts may choose. */
import type { Readable } from 'node:stream';
import type { EnsureOptions } from '../packages/installer';
import type { Plan } from '../packages/plan';
import type { PackageRequest } from '../packages/request';
import type { PackageImport } from '../sandbox/types';

/** The packages layer, as sock mode sees it. */
export interface PackageService {
  /**
   * Installs what a requirements.txt names, each spec at most once per worker.
   * @returns the packages in the order of the file; the last one comes first on sys.path
   * @throws ArgyleError REQUIREMENT_INVALID, INSTALL_FAILED
   */
  ensureInstalled(requirementsText: string): Promise<PackageImport[]>;
}

/** The packages layer, as functions see it; PackagePlanner says what each does. */
export interface FunctionPackages {
  plan(request: PackageRequest, retry?: boolean): Promise<Plan>;
  planVersion(name: string, version: string, request: PackageRequest): Promise<Plan>;
  install(plan: Plan, options?: EnsureOptions): Promise<{ imports: PackageImport[]; plan: Plan }>;
  remember(name: string, version: string, plan: Plan): Promise<void>;
}

/** What identifies one state of a stored archive: it changes whenever the archive may have changed. */
export interface StoredObject {
  version: string;
}

/** An archive that is being read. Whoever gets it must read `data` to its end or destroy it. */
export interface OpenObject extends StoredObject {
  data: Readable;
}

/** Where function archives live: a directory, or a bucket. Names are function names, already checked. */
export interface RegistryStore {
  /** Shown in errors as `bucket="…"`. */
  readonly bucket: string;
  /** Names of all functions that the store holds. @throws ArgyleError REGISTRY */
  list(): Promise<string[]>;
  /** undefined when there is no such function. @throws ArgyleError REGISTRY */
  stat(name: string): Promise<StoredObject | undefined>;
  /** undefined when there is no such function. @throws ArgyleError REGISTRY */
  open(name: string): Promise<OpenObject | undefined>;
  /** Stores the archive at `path` under `name`, at once and whole. @throws ArgyleError REGISTRY */
  put(name: string, path: string): Promise<void>;
  /** false when there was no such function. @throws ArgyleError REGISTRY */
  remove(name: string): Promise<boolean>;
  /**
   * Looks whether the store can be used now: a directory is written to, a bucket only read.
   * @throws ArgyleError REGISTRY
   */
  check(): Promise<void>;
  /** Frees connections. */
  close(): Promise<void>;
}

/** What lambda/ logs; pino's loggers satisfy it. */
export interface LambdaLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}
