/** The worker's settings, as config.json names them (docs/config.md describes each). */
export interface LimitsConfig {
  procs: number;
  mem_mb: number;
  cpu_percent: number;
  /** Written to memory.swap.max as bytes, as the original does in spite of the name. */
  swappiness: number;
  runtime_sec: number;
  /** Ours: size of a sandbox's scratch and /tmp together. */
  scratch_mb: number;
}

export type ImportCache = '' | 'tree' | 'multitree' | 'popularity';

/** Before the upload is answered, at once but behind the answer, or at the function's first call. */
export type InstallWhen = 'wait' | 'background' | 'lazy';

export interface ZygoteNode {
  packages: string[];
  children: ZygoteNode[];
}

/** Where a directory lives: on the disk as it is, private to a sandbox, or in memory. */
export type StoreMode = '' | 'private' | 'memory';

export interface Config {
  worker_dir: string;
  worker_url: string;
  worker_port: string;
  log_output: boolean;
  sandbox: 'sock' | 'docker';
  /** Kept from the original, which reads it nowhere. */
  sandbox_config: Record<string, unknown>;
  server_mode: 'lambda' | 'sock';
  registry: string;
  registry_cache_ms: number;
  Pkgs_dir: string;
  pip_mirror: string;
  mem_pool_mb: number;
  /** Path, JSON string or object in the file; parsed and validated into a tree when it is loaded. */
  import_cache_tree: ZygoteNode;
  sock_base_path: string;
  docker: { runtime: string; base_image: string };
  limits: LimitsConfig;
  installer_limits: LimitsConfig;
  features: {
    reuse_cgroups: boolean;
    import_cache: ImportCache;
    downsize_paused_mem: boolean;
    enable_seccomp: boolean;
  };
  trace: { cgroups: boolean; memory: boolean; evictor: boolean; package: boolean; latency: boolean };
  storage: { root: StoreMode; scratch: StoreMode; code: StoreMode };
  kafka: {
    cache_enabled: boolean;
    cache_size: number;
    session_timeout_sec: number;
    heartbeat_interval_sec: number;
    poll_timeout_sec: number;
    /** Ours: commit a message whose invocation failed, as the original does. Default false. */
    commit_failed: boolean;
  };
  /** Ours, all of it: what the original has no key for. */
  argyle: {
    /** `outbound`, `none` or `host`; see SECURITY.md. */
    network: 'outbound' | 'none' | 'host';
    /** Prefixes that `outbound` refuses, such as `10.0.0.0/8`. */
    network_deny: string[];
    /** Prefixes that `outbound` lets pass, of those that are refused by default. */
    network_allow: string[];
    /** Host that functions see: the client's, or `root` as in the original. */
    function_host: 'client' | 'root';
    /** Root directories of further Pythons, by the names that `runtime` in ol.yaml may say. */
    bases: Record<string, string>;
    /** Path of the setuid helper; '' finds the built or installed one. */
    helper: string;
    /** Path of helper.conf; '' is /etc/argyle/helper.conf, or the worker's own when started as root. */
    helper_conf: string;
    /** Longest wait of a call for a helper that is being started again, ms. */
    helper_wait_ms: number;
    function_queue: number;
    instance_queue: number;
    max_instances: number;
    /** An instance is frozen after this many idle ms. */
    pause_after_ms: number;
    ready_slots: number;
    end_thrashing: boolean;
    show_errors: boolean;
    rehearsal_calls: number;
    spares_per_zygote: number;
    /** Largest accepted upload to the registry, 0 for no limit. */
    max_upload_mb: number;
    /** worker.out is emptied at this size, and log_keep copies are kept; 0 for no bound. */
    log_max_mb: number;
    log_keep: number;
    /** Of dep-trace.json and dep-trace.json.1 together; 0 for no bound. */
    dep_trace_max_mb: number;
    /** A request body that is not complete must bring body_window_kb in each window; 0 s lets it take any time. */
    body_window_sec: number;
    body_window_kb: number;
    /** Incomplete bodies below 64 KiB that may hold sandboxes at the same time. */
    open_bodies: number;
    /** Most that a function's archive may unpack to. */
    max_code_mb: number;
    /** Longest time for unpacking and checking one archive. */
    unpack_sec: number;
    /** What a function's ol.yaml may ask for at most. */
    max_limits: { mem_mb: number; procs: number; cpu_percent: number; runtime_sec: number; scratch_mb: number };
    /** Bearer token for all but invocations and probes; '' asks for none. */
    admin_token: string;
    /** /metrics asks for the token, too. */
    metrics_token: boolean;
    /** Further names in Host headers, separated by commas: `name`, `.suffix` or `*`. */
    allowed_hosts: string;
    /** Origins of web pages that may send requests, separated by commas; `*` for all. */
    allowed_origins: string;
    /** Resolve requirements that are no complete list of pins. */
    resolve: boolean;
    /** When an uploaded function's packages are installed. */
    install: InstallWhen;
    /** The tool that installs packages is tried first. */
    installer: 'uv' | 'pip';
    /** Share of the memory pool that installers may hold together, percent. */
    install_share_percent: number;
    /** Time without a byte after which a connection to the index has failed. */
    index_timeout_sec: number;
    /** Disk that one install may use; 0 for no limit but what must stay free. */
    package_max_mb: number;
    /** Installed packages are deleted, least recently used first, beyond this disk use; 0 for never. */
    packages_max_mb: number;
  };
}
