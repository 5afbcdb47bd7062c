/**
 * The table of all settings: the allowed values in config.json, the meaning of each key, and the value of a missing
 * key.
 *
 * The original decodes the file with Go's encoding/json into a zero struct, so a missing key of the original has its
 * type's zero value. Keys that only Argyle has include their default (`ours`), so that files for the original work
 * here.
 */
import { z } from 'zod';
import { choice, count, flag, list, oneOf, setting, show, text } from './setting';
import type { Config } from './types';

const STORES = ['', 'private', 'memory'] as const;
const NETWORKS = ['outbound', 'none', 'host'] as const;
const INSTALLS = ['wait', 'background', 'lazy'] as const;
const HOSTS = ['client', 'root'] as const;
const store = (field: string, about: string) => choice(STORES, about, oneOf(`storage.${field}`, STORES));

const limits = (whose: string) =>
  z.object({
    procs: count(`Processes and threads in ${whose}; 0 is no limit.`),
    mem_mb: count(`Memory of ${whose}, in MB; 0 is no limit.`),
    cpu_percent: count(`CPU time of ${whose}, in percent of one CPU; 0 is no limit.`),
    swappiness: count(`Swap of ${whose}, in bytes (not a percentage), as in the original.`),
    runtime_sec: count(`Time for one ${whose === 'an installer' ? 'install' : 'invocation'}, in s; 0 is no limit.`),
    scratch_mb: count(
      `Size of the scratch and /tmp of ${whose} together, in MB.`,
      whose === 'an installer' ? 1024 : 256,
    ),
  });

export const schema = z.object({
  worker_dir: text('Directory of the running worker: pid file, socket, code, scratch. Absolute.'),
  worker_url: text('Address that the worker listens on.'),
  worker_port: setting(
    z.string().refine((port) => /^\d{1,5}$/.test(port) && Number(port) <= 65535, {
      error: (issue) => `worker_port must be a port number from 0 to 65535 (current=${show(issue.input)})`,
    }),
    'TCP port, as a string.',
  ),
  log_output: flag('Log the output of sandboxes, line by line, in worker.out and in the log of the function.'),
  sandbox: choice(['sock', 'docker'], 'Kind of sandbox: `sock` or `docker`.', (v) => `Unknown Sandbox type '${v}'`),
  sandbox_config: setting(z.record(z.string(), z.unknown()), 'Accepted and ignored, as by the original.'),
  server_mode: choice(
    ['lambda', 'sock'],
    'API that the worker serves: `lambda` or `sock`.',
    (v) => `unknown server_mode ${JSON.stringify(v)}`,
  ),
  registry: text('Where function archives are: `file://DIR`, an absolute path, `s3://bucket?region=…`, `gs://bucket`.'),
  registry_cache_ms: count('Time for which pulled code counts as current, in ms.'),
  Pkgs_dir: text('Directory of installed packages.'),
  pip_mirror: text("Package index for installs; empty is the host's own pip configuration."),
  mem_pool_mb: setting(z.int(), 'Memory that all sandboxes share, in MB; at least twice the largest limit.'),
  import_cache_tree: setting(z.unknown(), 'Tree of zygotes: a path, JSON in a string, or an object.'),
  sock_base_path: text('Root directory that sandboxes see, read-only. Absolute.'),
  docker: z.object({
    runtime: text('Container runtime for docker sandboxes; empty is the default of the engine.'),
    base_image: text('Image of docker sandboxes, with `python3`. The engine must have it; it is not pulled.'),
  }),
  limits: limits('a sandbox'),
  installer_limits: limits('an installer'),
  features: z.object({
    reuse_cgroups: flag('Accepted, no effect.'),
    import_cache: choice(
      ['', 'tree', 'multitree', 'popularity'],
      'Zygotes: learnt from cold starts (`popularity`), a fixed tree (`tree`), several copies of it (`multitree`); empty is none.',
      (v) => `ZygoteProvider '${v}' is not implemented`,
    ),
    downsize_paused_mem: flag('Charge a paused sandbox what it uses, not its limit.'),
    enable_seccomp: flag('System call filter in sandboxes; only a worker started as root may switch it off.'),
  }),
  trace: z.object({
    cgroups: flag('Log cgroup operations.'),
    memory: flag('Log the memory pool.'),
    evictor: flag('Log evictions.'),
    package: flag('Log package installs.'),
    latency: flag('Log how long each step takes.'),
  }),
  storage: z.object({
    root: store('root', 'Accepted, no effect: roots of sandboxes are in memory.'),
    scratch: store('scratch', 'Accepted, no effect: scratch directories are in memory.'),
    code: store('code', 'Place of function code. With `memory` the worker starts only if `worker_dir` is on a tmpfs.'),
  }),
  kafka: z.object({
    cache_enabled: flag('Keep messages, so that a lambda can seek back without asking the broker again.'),
    cache_size: count('Messages kept for each partition.'),
    session_timeout_sec: count('Session timeout of the consumer group, in s.'),
    heartbeat_interval_sec: count('Heartbeat of the consumer group, in s.'),
    poll_timeout_sec: count('Longest wait for messages, in s.'),
    commit_failed: flag('Commit a message whose invocation failed, as the original does.', false),
  }),
  argyle: z.object({
    network: choice(
      NETWORKS,
      'What sandboxes reach: `outbound` (nothing of this host), `none`, or `host` (as in the original).',
      oneOf('argyle.network', NETWORKS),
      'outbound',
    ),
    network_deny: list('Prefixes that `outbound` refuses, such as `10.0.0.0/8`. The longest matching prefix counts.'),
    network_allow: list(
      'Prefixes that `outbound` allows, such as `169.254.7.0/24`. Link-local prefixes are refused without it.',
    ),
    function_host: choice(
      HOSTS,
      'Host header that functions see: `client` (what the client sent), or `root` (as in the original).',
      oneOf('argyle.function_host', HOSTS),
      'client',
    ),
    bases: setting(
      z.record(z.string(), z.string()),
      'Further Pythons: names for `runtime` in ol.yaml, each with a root directory or its tar file; see `ol worker base`.',
      {},
    ),
    helper: text('Path of the sandbox helper; empty finds the built or the installed one.', ''),
    helper_conf: text("Path of helper.conf; empty is the system's, or DIR/helper.conf when started as root.", ''),
    helper_wait_ms: count('Longest wait of a call for the restart of the helper, in ms.', 2000),
    function_queue: count('Requests that may wait for the code and packages of one function.', 1024),
    instance_queue: count('Requests that may wait for a free instance of one function.', 1024),
    max_instances: count('Instances of one function; 0 is no limit but the memory pool.', 0),
    pause_after_ms: count('Idle time after which an instance is frozen, in ms.', 20),
    ready_slots: count('Slots made ahead of time.', 8),
    spares_per_zygote: count('Parked spares of a busy zygote.', 2),
    upload_zygotes: flag('Under `popularity`, zygotes may be made for uploads before the first call.', true),
    end_thrashing: flag('End sandboxes that thrash at their memory limit.', true),
    show_errors: flag('Answers carry the exceptions of functions; false leaves them to the log.', true),
    server_timing: flag('Answers of functions tell where their time went (`Server-Timing`).', true),
    otlp_endpoint: setting(
      z.string().refine((url) => url === '' || (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)), {
        error: (issue) => `argyle.otlp_endpoint must be an http(s) URL (current=${show(issue.input)})`,
      }),
      'URL for spans of calls, as OTLP over HTTP: `http://localhost:4318/v1/traces`; empty is none.',
      '',
    ),
    otlp_sample_percent: setting(
      z.int().min(0).max(100),
      'Share of calls that are recorded as spans when no `traceparent` of the client decides, in percent.',
      100,
    ),
    drain_sec: setting(
      z.int().min(0).max(3600),
      'Time that accepted calls have to end when the worker stops, in s.',
      10,
    ),
    warmup_calls: count('Calls that a started worker makes to itself, so that its code is compiled; 0 is none.', 1000),
    max_code_mb: setting(z.int().min(1), 'Largest unpacked size of a function archive, in MB.', 1024),
    unpack_sec: setting(z.int().min(1), 'Longest time for unpacking and checking one archive, in s.', 30),
    max_limits: z.object({
      mem_mb: count('Largest `limits.mem_mb` of an ol.yaml, in MB; 0 is a quarter of `mem_pool_mb`, at least 512.', 0),
      procs: count('Largest `limits.procs` of an ol.yaml; 0 is no cap.', 1024),
      cpu_percent: count('Largest `limits.cpu_percent` of an ol.yaml; 0 is all processors of the machine.', 0),
      runtime_sec: count('Longest `limits.runtime_sec` of an ol.yaml, in s; 0 is no cap.', 900),
      scratch_mb: count('Largest `limits.scratch_mb` of an ol.yaml, in MB; 0 is no cap.', 4096),
    }),
    body_window_sec: count(
      'Time in which a request body must end or bring `argyle.body_window_kb`, in s; 0 is no limit.',
      10,
    ),
    body_window_kb: count('Size that an incomplete request body must bring in each window, in KiB.', 32),
    open_bodies: count('Requests that may hold a sandbox at once while their body pauses before its first 64 KiB.', 4),
    log_max_mb: count('Size at which worker.out is copied and emptied, in MB; 0 is never.', 64),
    log_keep: count('Copies of earlier parts of worker.out; worker.out.1 is the newest.', 3),
    function_log_kb: count(
      'Size of the log of a function (`ol logs NAME`), in KiB. Beyond it the oldest half is deleted; 0 is no logs.',
      2048,
    ),
    function_logs_mb: setting(
      z.int().min(1),
      'Size of the logs of all functions together, in MiB. Beyond it the log that was written longest ago is deleted.',
      256,
    ),
    dep_trace_max_mb: count(
      'Size of dep-trace.json and dep-trace.json.1 together, in MB. Beyond it the oldest half is deleted; 0 is no limit.',
      64,
    ),
    max_upload_mb: count('Largest accepted upload to the registry, in MB; 0 is no limit.', 256),
    resolve: flag('Resolve incomplete requirements; false installs each line literally, as the original does.', true),
    install: choice(
      INSTALLS,
      'When packages of an upload are installed: before its answer (`wait`), at once (`background`), or at the first call (`lazy`).',
      oneOf('argyle.install', INSTALLS),
      'background',
    ),
    installer: choice(
      ['uv', 'pip'],
      'Tool that installs packages: `uv`, with pip where uv is missing or fails, or `pip`.',
      oneOf('argyle.installer', ['uv', 'pip']),
      'uv',
    ),
    install_share_percent: count(
      'Share of `mem_pool_mb` that installers may hold together, in percent. One installer may always run.',
      50,
    ),
    index_timeout_sec: count('Time without a byte after which a connection to the package index has failed, in s.', 15),
    package_max_mb: count('Disk that one install may use, in MB; 0 is all but the space that must stay free.', 4096),
    packages_max_mb: count('Disk use beyond which the least recently used packages are deleted, in MB; 0 is never.', 0),
    secrets_dir: text('Directory of the secrets of functions, mode 0700; empty is `secrets` beside `worker_dir`.', ''),
    admin_token: setting(
      z.string(),
      'Bearer token for all paths but `/run`, `/status`, `/healthz`, `/readyz`, `/metrics` and the page of `/dashboard`; empty is none.',
      '',
      true,
    ),
    metrics_token: flag('`/metrics` needs `argyle.admin_token`, too.', false),
    allowed_hosts: text(
      'Host names that pass besides own names, addresses and names without a dot: `a.b,.c.d`; `.c.d` is all names below c.d, `*` any.',
      '',
    ),
    allowed_origins: text(
      'Origins whose web pages may send requests, separated by commas, such as `https://app.example.com`; `*` is all.',
      '',
    ),
  }),
});

/** config.json after decoding, before the zygote tree is read. */
export type FileConfig = z.output<typeof schema>;

/** Does not compile when schema and Config differ. */
type SameKeys =
  FileConfig extends Omit<Config, 'import_cache_tree'>
    ? Omit<Config, 'import_cache_tree'> extends Omit<FileConfig, 'import_cache_tree'>
      ? true
      : never
    : never;
export const SCHEMA_MATCHES_CONFIG: SameKeys = true;
