/** The interface of a sandbox. lambda/ and packages/ depend on these types and not on the helper. */
import type { Dispatcher } from 'undici';
import type { AnswerHandler } from './answer/guard';
import type { Life, LifeView } from './life';
import type { Pressure } from './memory/thrash';

/** Resource limits of one sandbox; 0 means no limit. */
export interface SandboxLimits {
  memMb: number;
  procs: number;
  cpuPercent: number;
  /** Swap, in bytes: the value of `limits.swappiness`, which the original also writes to memory.swap.max. */
  swapBytes: number;
  /** Size of the sandbox's scratch and /tmp together, in MB. */
  scratchMb: number;
  /** CPU weight against other sandboxes (cpu.weight); 100 when absent. */
  cpuWeight?: number | undefined;
}

/** The boot document of a leaf; see docs/guest-protocol.md. */
export interface LeafBoot {
  role: 'leaf';
  name: string;
  runtime: 'python' | 'native';
  /** Python file in the code directory, normally `f.py`. */
  entry_file: string;
  /** Directories inside the sandbox, in the order of sys.path. */
  sys_path: string[];
  env: Record<string, string>;
  /** The limits that `context` and error messages report; 0 means no limit. */
  limits?: { mem_mb: number; procs: number; runtime_sec: number };
  /** Answers do not contain the handler's exceptions. */
  hide_errors?: boolean;
  /** Number of requests that an ASGI application serves concurrently; absent means 1. */
  concurrency?: number;
  /** The leaf reports the submodules that the handler used, see BootInfo. */
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
  /** `submodules`: further modules to import; a failed import of one is ignored. */
  imports: (PackageImport & { submodules?: readonly string[] })[];
}

export interface InstallerBoot {
  role: 'installer';
  spec: string;
  /** The tool that runs with `argv`; default pip. The answer's code is 127 when the base lacks uv. */
  tool?: 'pip' | 'uv';
  /** Arguments of the tool. An empty list requests only the metadata of the packages in `target`. */
  argv: string[];
  env: Record<string, string>;
  target: string;
  /** Text files to write before the tool runs, by path. */
  files?: Record<string, string>;
  /** Text of a netrc file that only the tool can read. */
  netrc?: string;
  /** File whose text is the result; replaces the metadata of `target`. */
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

/** Runs pip for the package layer: one fresh sandbox of the install pool per call. */
export interface InstallerSandbox {
  /**
   * Boots an installer and returns its answer. Its /host is the directory `stagingName` below Pkgs_dir; the caller
   * makes this directory with a `files` directory, which the helper gives to the sandbox. Its /packages is Pkgs_dir.
   * The sandbox is destroyed before run() returns. A failure of pip is an answer with `ok` false.
   * @throws ArgyleError SANDBOX_CREATE, SANDBOX_DEAD (crash, out of memory), TIMEOUT when there is no answer
   */
  run(boot: InstallerBoot, stagingName: string, options?: { signal?: AbortSignal }): Promise<InstallResult>;
  /** Removes the directory `name` below Pkgs_dir, for any owner of its files. A missing directory is no error. */
  removeTree(name: string): Promise<void>;
}

export interface SandboxUsage {
  memBytes: number;
  pids: number;
  oomKills: number;
  /** As in SandboxExit; undefined when the host does not count refusals. */
  procsRefused?: number;
  cpuUsec: number;
  frozen: boolean;
  threads: number;
  pid: number;
}

/** How a leaf was started; used by statistics and tests. */
export type StartKind = 'fresh' | 'fork' | 'spare';

/** Kind of a forked leaf's zygote: without packages ('root'), or with packages. */
export type ZygoteTier = 'root' | 'packages';

/** How the first process of a sandbox ended. */
export interface SandboxExit {
  oomKills: number;
  /** Number of processes and threads that limits.procs refused. */
  procsRefused?: number;
  /** Wait status of the first process; undefined for a forked process when the kernel is older than 6.15. */
  status: number | undefined;
  /** The sandbox ended together with the helper; its code is not the cause. */
  lost?: boolean;
}

/** A leaf that serves one function. The caller must not exceed the concurrency that the leaf was booted for. */
export interface Sandbox {
  readonly id: string;
  /** Host pid of the first process, for /debug and tests. */
  readonly pid: number;
  /** Host pid of the leaf's zygote; undefined for a fresh leaf. */
  readonly parentPid: number | undefined;
  readonly start: StartKind;
  /** Tier of the leaf's zygote; absent for a fresh leaf. */
  readonly tier?: ZygoteTier | undefined;
  /** Import time of the handler as the guest reports it, in ms; undefined before the first answer. */
  readonly importMs?: number | undefined;
  readonly limits: SandboxLimits;
  /** Whether the sandbox runs, is paused or has ended. */
  readonly life: LifeView;
  /** Sends one HTTP request to the guest. Headers are raw pairs without hop-by-hop fields. */
  dispatch(options: Dispatcher.DispatchOptions, handler: AnswerHandler): void;
  /** Attributes the following log output to this call; '' marks the end of the call. */
  running?(requestId: string): void;
  /** Freezes all processes. Throws ArgyleError when the sandbox is dead. */
  pause(): Promise<void>;
  /**
   * Resolves when the sandbox runs.
   * @param onOrdered called when the thaw is ordered, unless the sandbox runs already. Requests may be dispatched from
   *   then on. When the thaw then fails, the owner must destroy the sandbox. A plain sandbox never calls it
   */
  resume(onOrdered?: () => void): Promise<void>;
  usage(): Promise<SandboxUsage>;
  /**
   * Whether the owner must destroy the sandbox between two requests because other functions lack memory. Absent when
   * the implementation has no memory pool.
   */
  mustYield?(): boolean;
  /**
   * Sets whether the evictor takes this sandbox only after all sandboxes that are not kept. Absent when nothing evicts
   * the sandbox.
   */
  keep?(kept: boolean): void;
  /** Sets SandboxLimits.cpuWeight. Absent when the host has no CPU weights. */
  weigh?(weight: number): void;
  /** Absent when the host does not count memory pressure. */
  pressure?(): Promise<Pressure | undefined>;
  /** Kills all processes and frees everything. Idempotent, never rejects. */
  destroy(reason: string): Promise<void>;
  /** The multi-line description that the contract requires. */
  debugString(): Promise<string>;
}

/** A sandbox that only reports its end; GuardedSandbox makes the other moves of its life. */
export interface PlainSandbox extends Sandbox {
  readonly life: Life;
}

/** A request for a leaf. */
export interface LeafSpec {
  boot: LeafBoot;
  /** Name of the directory below <worker_dir>/code; the directory is bound on /handler. */
  codeName: string;
  limits: SandboxLimits;
  /** The base of argyle.bases for the leaf; absent means the worker's own base. */
  base?: string;
  /** Pinned specs that the function requires. The provider matches zygotes against these specs. */
  packages: PackageImport[];
}

/** Makes leaves by the cheapest available way: a spare, a fork, or a fresh process. */
export interface SandboxProvider {
  create(spec: LeafSpec): Promise<Sandbox>;
  /**
   * create() with admission control: waits for a turn. Undefined when the start is no longer wanted at that moment.
   * Absent when starts take no turns.
   */
  createWhile?(spec: LeafSpec, wish: StartWish): Promise<Sandbox | undefined>;
}

/** Callbacks of a start that waits for its turn. */
export interface StartWish {
  /** False once no request waits for the sandbox. */
  isWanted(): boolean;
  /** Called when the turn has come, before the sandbox is made. */
  onTurn(): void;
}
