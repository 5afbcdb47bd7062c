/** What a sandbox is to the layers above: lambda/ and packages/ know these types and nothing of the helper. */
import type { Dispatcher } from 'undici';
import type { AnswerHandler } from './answer/guard';
import type { Pressure } from './thrash';

/** Resource limits of one sandbox; 0 means no limit. */
export interface SandboxLimits {
  memMb: number;
  procs: number;
  cpuPercent: number;
  /** Bytes of swap, as the original writes `limits.swappiness` to memory.swap.max. */
  swapBytes: number;
  /** Size of the sandbox's scratch and /tmp together. */
  scratchMb: number;
}

/** What a leaf is told when it starts; see docs/guest-protocol.md. */
export interface LeafBoot {
  role: 'leaf';
  name: string;
  runtime: 'python' | 'native';
  /** Python file in the code directory, normally `f.py`. */
  entry_file: string;
  /** Directories inside the sandbox, in the order in which they stand on sys.path. */
  sys_path: string[];
  env: Record<string, string>;
  /** What `f(event, context)` and errors tell of its limits; 0 is no limit. */
  limits?: { mem_mb: number; procs: number; runtime_sec: number };
  /** Has answers leave out the exceptions of the handler. */
  hide_errors?: boolean;
  /** Has it report which submodules the handler used, see BootInfo. */
  learn?: boolean;
}

export interface PackageImport {
  /** Pinned spec as installed, e.g. `numpy==2.1.0`; names the directory under /packages. */
  spec: string;
  /** Top-level modules that the package provides. */
  modules: string[];
}

export interface ZygoteBoot {
  role: 'zygote';
  sys_path: string[];
  /** `submodules`: what is imported besides, and left out when that fails. */
  imports: (PackageImport & { submodules?: readonly string[] })[];
}

export interface InstallerBoot {
  role: 'installer';
  spec: string;
  /** What `argv` is given to; pip by default. Without uv in the base the answer's code is 127. */
  tool?: 'pip' | 'uv';
  /** Arguments to the tool; empty asks only for the metadata of what `target` holds already. */
  argv: string[];
  env: Record<string, string>;
  target: string;
  /** Text files that are written ahead, by path. */
  files?: Record<string, string>;
  /** File whose text is the result, in place of the metadata of `target`. */
  result_file?: string;
}

/** A zygote's answer to its boot frame. */
export interface ZygoteReady {
  ok: boolean;
  imports: { spec: string; ms: number; kb: number; error: string | null; dropped?: string[] }[];
  threads: number;
  modules: number;
}

/** An installer's answer to its boot frame. */
export interface InstallResult {
  ok: boolean;
  code: number;
  deps: string[];
  top_level: string[];
  output: string;
  /** Text of the boot document's `result_file`. */
  text?: string | undefined;
}

/** How the package layer has pip run: one fresh sandbox of the install pool per call. */
export interface InstallerSandbox {
  /**
   * Boots an installer whose /host is the directory `stagingName` below Pkgs_dir (made by the caller, with a
   * `files` directory that the helper gives to the sandbox) and whose /packages is Pkgs_dir, and returns what it answered.
   * The sandbox is gone when this returns. A pip that fails is an answer with `ok` false; ArgyleError is thrown
   * when there was no answer: SANDBOX_CREATE, SANDBOX_DEAD (crash, out of memory), TIMEOUT.
   */
  run(boot: InstallerBoot, stagingName: string, options?: { signal?: AbortSignal }): Promise<InstallResult>;
  /** Removes the directory `name` below Pkgs_dir, whoever owns its files. No error when it does not exist. */
  removeTree(name: string): Promise<void>;
}

export interface SandboxUsage {
  memBytes: number;
  pids: number;
  oomKills: number;
  /** As SandboxExit's; undefined where nobody counts it. */
  procsRefused?: number;
  cpuUsec: number;
  frozen: boolean;
  threads: number;
  pid: number;
}

/** How a leaf came to be; statistics and tests tell the ways apart. */
export type StartKind = 'fresh' | 'fork' | 'spare';

/** Why a sandbox ended by itself. */
export interface SandboxExit {
  oomKills: number;
  /** How often a process or thread was refused, since limits.procs was reached. */
  procsRefused?: number;
  /** Wait status when the helper saw it, undefined for a forked process. */
  status: number | undefined;
  /** It was idle and had to give up its memory: its code is not at fault. */
  evicted?: boolean;
  /** It ended with its helper: its code is not at fault. */
  lost?: boolean;
}

/** A leaf that serves one function. One request at a time is the caller's duty. */
export interface Sandbox {
  readonly id: string;
  /** Host pid of the first process, for /debug and tests. */
  readonly pid: number;
  /** Host pid of the zygote that it was forked from, undefined for a fresh one. */
  readonly parentPid: number | undefined;
  readonly start: StartKind;
  readonly limits: SandboxLimits;
  /** Set once the sandbox is gone: why. */
  readonly dead: string | undefined;
  /** Sends one HTTP request to the guest; headers as raw pairs, no hop-by-hop ones. */
  dispatch(options: Dispatcher.DispatchOptions, handler: AnswerHandler): void;
  /** Freezes all processes. Throws ArgyleError when the sandbox is dead. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  usage(): Promise<SandboxUsage>;
  /** Absent where nobody counts it. */
  pressure?(): Promise<Pressure | undefined>;
  /** Kills and frees everything; idempotent, never rejects. */
  destroy(reason: string): Promise<void>;
  /** Resolves once when the first process ends without destroy() having been called. */
  readonly exited: Promise<SandboxExit>;
  /** The contract's multi-line description. */
  debugString(): Promise<string>;
}

/** Asks for a leaf. */
export interface LeafSpec {
  boot: LeafBoot;
  /** Name of the directory below <worker_dir>/code that is bound on /handler. */
  codeName: string;
  limits: SandboxLimits;
  /** The base of argyle.bases that it runs in; absent for the worker's own. */
  base?: string;
  /** Pinned specs that the function asked for; the provider matches zygotes against them. */
  packages: PackageImport[];
}

/** Makes leaves, by whichever way is cheapest: a spare, a fork, or a fresh process. */
export interface SandboxProvider {
  create(spec: LeafSpec): Promise<Sandbox>;
}
