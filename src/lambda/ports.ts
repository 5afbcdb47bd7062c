/** The interfaces that lambda/ needs of the layers beside and above it. compose/ selects the implementations. */
import type { Readable } from 'node:stream';
import type { EnsureOptions } from '../packages/install/installer';
import type { Plan } from '../packages/plan';
import type { PackageRequest } from '../packages/requirements/request';
import type { PackageImport } from '../sandbox/types';

/** The package layer, as sock mode uses it. */
export interface PackageService {
  /**
   * Installs the packages of a requirements.txt, each spec at most once per worker.
   * @returns the packages in the order of the file; the last one comes first on sys.path
   * @throws ArgyleError REQUIREMENT_INVALID, INSTALL_FAILED
   */
  ensureInstalled(requirementsText: string): Promise<PackageImport[]>;
}

/** The package layer, as functions use it. PackagePlanner describes each method. */
export interface FunctionPackages {
  plan(request: PackageRequest, retry?: boolean): Promise<Plan>;
  planVersion(name: string, version: string, request: PackageRequest): Promise<Plan>;
  install(plan: Plan, options?: EnsureOptions): Promise<{ imports: PackageImport[]; plan: Plan }>;
  remember(name: string, version: string, plan: Plan): Promise<void>;
}

/** Identifies one version of a stored archive. It changes whenever the archive may have changed. */
export interface StoredObject {
  version: string;
}

/** An archive that is being read. The receiver must read `data` to its end or destroy it. */
export interface OpenObject extends StoredObject {
  data: Readable;
}

/** The storage of function archives: a directory or a bucket. Callers have checked the names of functions. */
export interface RegistryStore {
  /** Name of the storage in errors: `bucket="…"`. */
  readonly bucket: string;
  /** Names of all functions that the store holds. @throws ArgyleError REGISTRY */
  list(): Promise<string[]>;
  /** undefined when there is no such function. @throws ArgyleError REGISTRY */
  stat(name: string): Promise<StoredObject | undefined>;
  /** undefined when there is no such function. @throws ArgyleError REGISTRY */
  open(name: string): Promise<OpenObject | undefined>;
  /** Stores the archive at `path` under `name`, atomically. @throws ArgyleError REGISTRY */
  put(name: string, path: string): Promise<void>;
  /** false when there was no such function. @throws ArgyleError REGISTRY */
  remove(name: string): Promise<boolean>;
  /**
   * Checks that the store can be used now. A directory is written to, a bucket is only read.
   * @throws ArgyleError REGISTRY
   */
  check(): Promise<void>;
  /** Closes connections. */
  close(): Promise<void>;
}

/** The log of lambda/. pino's loggers satisfy this interface. */
export interface LambdaLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}
