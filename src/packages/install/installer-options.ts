/** Options and callbacks of the package installer. */
import type { InstallerSandbox } from '../../sandbox/types';
import type { PackageMeta } from '../store/store';
import type { Tool } from './tools';

/** One attempt to install a package or to find it installed. Each spec succeeds once per worker process. */
export interface Pull {
  spec: string;
  ms: number;
  /** Undefined after a failure. */
  meta: PackageMeta | undefined;
}

/** Progress of an install of several packages. */
export interface InstallProgress {
  spec: string;
  ms: number;
  bytes: number;
}

export interface EnsureOptions {
  /** Ignores the back-off after a failure. */
  retry?: boolean;
  /** Called for each package when it is ready. */
  onReady?: (progress: InstallProgress) => void;
}

export interface PackageInstallerOptions {
  /** config.Pkgs_dir: an absolute path, created if missing. */
  pkgsDir: string;
  sandbox: InstallerSandbox;
  /** config.pip_mirror: URL of an index that replaces the host's configuration; '' for none. */
  pipMirror?: string;
  /** Environment for pip, read once. By default, the host's pip configuration. */
  pipEnv?: () => Promise<Record<string, string>>;
  /** Text of a netrc file for these hosts, read once. By default, from the worker's own file. */
  netrc?: (hosts: string[]) => Promise<string>;
  /** config.argyle.index_timeout_sec. */
  indexTimeoutSec?: number;
  /** config.argyle.installer: the first tool to try. */
  tool?: Tool;
  /** Maximum number of concurrent installer sandboxes. */
  atOnce?: number;
  /** config.argyle.packages_max_mb: packages are deleted above this disk use; 0 for never. */
  maxMb?: number;
  /** config.argyle.package_max_mb: disk limit per install; 0 for only the reserve. */
  packageMaxMb?: number;
  /** Specs that live functions or zygotes use. They are never deleted. */
  inUse?: () => Iterable<string>;
  /** Called after each attempt, for the statistic `pull-package` and the dependency trace. */
  onPull?: (pull: Pull) => void;
  /** A monotonic clock, ms, for the back-off after a failure. */
  now?: () => number;
}
