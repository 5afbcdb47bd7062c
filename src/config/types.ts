/** The worker's settings under their names in config.json. docs/config.md describes each. */
export interface LimitsConfig {
  procs: number;
  mem_mb: number;
  cpu_percent: number;
  /** Written to memory.swap.max in bytes, as in the original, in spite of its name. */
  swappiness: number;
  runtime_sec: number;
  /** Argyle's own: size of a sandbox's scratch and /tmp together, MB. */
  scratch_mb: number;
}

export type ImportCache = '' | 'tree' | 'multitree' | 'popularity';

/** Time of the install: before the upload's answer, in the background after it, or at the function's first call. */
export type InstallWhen = 'wait' | 'background' | 'lazy';

export interface ZygoteNode {
  packages: string[];
  children: ZygoteNode[];
}

/** Storage of a directory: directly on disk, private to a sandbox, or in memory. */
export type StoreMode = '' | 'private' | 'memory';

export interface Config {
  worker_dir: string;
  /** The configured worker_dir; set only when `worker_dir` is the second place in it (places.ts). */
  home?: string;
  worker_url: string;
  worker_port: string;
  log_output: boolean;
  sandbox: 'sock' | 'docker';
  /** A key of the original. Neither the original nor this worker reads the value. */
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
    /** Argyle's own: commit a message whose invocation failed, as the original does. Default false. */
    commit_failed: boolean;
  };
  /** Keys that the original lacks. */
  argyle: {
    /** `outbound`, `none` or `host`; see SECURITY.md. */
    network: 'outbound' | 'none' | 'host';
    /** Prefixes that `outbound` refuses, such as `10.0.0.0/8`. */
    network_deny: string[];
    /** Prefixes that `outbound` opens although they are refused by default. */
    network_allow: string[];
    /** Host that functions see: the client's, or `root` as in the original. */
    function_host: 'client' | 'root';
    /** Root directories of further Pythons, by their names for `runtime` in ol.yaml. */
    bases: Record<string, string>;
    /** Path of the setuid helper; '' for the built or installed one. */
    helper: string;
    /** Path of helper.conf; '' for /etc/argyle/helper.conf, or for the worker's own file when root starts it. */
    helper_conf: string;
    /** Time limit of a call's wait for a restarting helper, ms. */
    helper_wait_ms: number;
    function_queue: number;
    instance_queue: number;
    max_instances: number;
    /** Idle time until an instance is frozen, ms. */
    pause_after_ms: number;
    ready_slots: number;
    end_thrashing: boolean;
    show_errors: boolean;
    /** Whether answers of functions have a Server-Timing header. */
    server_timing: boolean;
    /** URL of the span collector; '' for none. otlp_sample_percent applies to calls without a sampled parent. */
    otlp_endpoint: string;
    otlp_sample_percent: number;
    /** Time that accepted calls have to end when the worker stops, s. */
    drain_sec: number;
    warmup_calls: number;
    spares_per_zygote: number;
    /** Under `popularity`: the packages of a deployed function count as one cold start. */
    upload_zygotes: boolean;
    /** Largest accepted upload to the registry, MB; 0 for no limit. */
    max_upload_mb: number;
    /** Size limit of worker.out, MB; 0 for no limit. At this size the file is truncated. log_keep copies are kept. */
    log_max_mb: number;
    log_keep: number;
    /** Size limit of one function's log, KiB. function_logs_mb limits the total of all logs, MB. */
    function_log_kb: number;
    function_logs_mb: number;
    /** Size limit of dep-trace.json and dep-trace.json.1 together, MB; 0 for no limit. */
    dep_trace_max_mb: number;
    /** Window in which an incomplete request body must deliver body_window_kb, s; 0 for no limit. */
    body_window_sec: number;
    body_window_kb: number;
    /** Maximum number of incomplete bodies below 64 KiB that may hold a sandbox at the same time. */
    open_bodies: number;
    /** Largest unpacked size of a function's archive, MB. */
    max_code_mb: number;
    /** Time limit for unpacking and checking one archive, s. */
    unpack_sec: number;
    /** Largest limits that a function's ol.yaml may set. */
    max_limits: { mem_mb: number; procs: number; cpu_percent: number; runtime_sec: number; scratch_mb: number };
    /** Directory of secrets; '' for `secrets` beside worker_dir. */
    secrets_dir: string;
    /** Bearer token for all requests except invocations and probes; '' disables the token. */
    admin_token: string;
    /** Whether /metrics needs the token, too. */
    metrics_token: boolean;
    /** Further accepted names in Host headers, separated by commas: `name`, `.suffix` or `*`. */
    allowed_hosts: string;
    /** Origins of web pages that may send requests, separated by commas; `*` for all. */
    allowed_origins: string;
    /** Whether to resolve requirements that are not a complete list of pins. */
    resolve: boolean;
    /** When an uploaded function's packages are installed. */
    install: InstallWhen;
    /** The first tool to try. */
    installer: 'uv' | 'pip';
    /** Largest share of the memory pool that installers may use together, percent. */
    install_share_percent: number;
    /** Time without a byte after which a connection to the index has failed, s. */
    index_timeout_sec: number;
    /** Disk limit per install, MB; 0 for only the reserve. */
    package_max_mb: number;
    /** Disk use above which the least recently used packages are deleted, MB; 0 for never. */
    packages_max_mb: number;
  };
}
