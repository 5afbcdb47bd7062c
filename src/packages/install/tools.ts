/**
 * Command lines and environments of pip and uv in an installer, and the conversion of pip's configuration to uv's.
 * Pure.
 */

/** Path of uv in the guest's directory. The file may be missing. */
export const SANDBOX_UV = '/runtime/uv';
/** The interpreter that packages are installed for, as the sandbox sees it. */
export const SANDBOX_PYTHON = '/usr/bin/python3';
/** Target directory of an installer, on the disk of Pkgs_dir. */
export const TARGET = '/host/files';
/** On the same disk as the files, so that uv makes hard links instead of copies. The guest removes it. */
export const UV_CACHE = `${TARGET}/.uv-cache`;
/** Default of argyle.index_timeout_sec, s. */
export const INDEX_TIMEOUT_SEC = 15;
/** Number of retries of a request to the index. */
const RETRIES = 1;

export type Tool = 'uv' | 'pip';

/** A package to install: its spec, and the accepted hashes of its archive. */
export interface Pin {
  spec: string;
  /** `sha256:…`, in pip's format; empty accepts any archive. */
  hashes: readonly string[];
}

/** Source of packages: config.pip_mirror, or the host's pip configuration. */
export interface IndexSource {
  /** URL of the only index; '' for the indexes in `env`. */
  mirror: string;
  /** PIP_* and proxy variables, see pip-config.ts. */
  env: Readonly<Record<string, string>>;
  /** Time without a byte after which a connection has failed, s. */
  timeoutSec: number;
  /** Text of a netrc file with the indexes' credentials; '' for none. */
  netrc?: string;
}

/** pip's arguments that install one spec without dependencies. */
export function pipArgv(pin: Pin, mirror: string, requirementsFile?: string): string[] {
  const what = requirementsFile === undefined ? [pin.spec] : ['--require-hashes', '-r', requirementsFile];
  // The original caches downloads in /tmp. Here /tmp is small, in memory, and not reused, so there is no cache.
  return ['install', '--no-deps', ...what, '--no-cache-dir', '-t', TARGET, ...indexArgv(mirror)];
}

function indexArgv(mirror: string): string[] {
  if (mirror === '') return [];
  const { protocol, host } = new URL(mirror);
  return ['--index-url', mirror, ...(protocol === 'http:' ? ['--trusted-host', host] : [])];
}

/** uv's arguments that install one spec without dependencies. */
export function uvArgv(pin: Pin, python: string, requirementsFile?: string): string[] {
  const what = requirementsFile === undefined ? [pin.spec] : ['--require-hashes', '-r', requirementsFile];
  const place = ['--target', TARGET, '--cache-dir', UV_CACHE, '--link-mode', 'hardlink'];
  return ['pip', 'install', '--no-deps', ...what, ...place, '--python', python, '--no-config', '--no-progress'];
}

/** uv's arguments that pin the requirements in the files and all dependencies. */
export function compileArgv(files: readonly string[], constraints: readonly string[], python: string): string[] {
  return [
    ...['pip', 'compile', ...files, ...constraints.flatMap((file) => ['--constraint', file])],
    ...['--python', python, '--no-config', '--no-progress', '--no-header', '--no-annotate', '--no-emit-index-url'],
    ...['--generate-hashes', '--no-strip-extras', '--quiet'],
  ];
}

/** pip's arguments that pin requirements and dependencies without uv: a dry run, which writes the pins to `report`. */
export function resolvePipArgv(file: string, constraints: string, report: string, mirror: string): string[] {
  const what = ['install', '--dry-run', '--ignore-installed', '--quiet', '-r', file, '-c', constraints];
  return [...what, '--report', report, '--no-cache-dir', ...indexArgv(mirror)];
}

/**
 * pip's environment: the source's. The worker's time limits replace those of the source. The worker's number of retries
 * is only a default.
 */
export function pipEnv({ env, timeoutSec }: IndexSource): Record<string, string> {
  const fixed = { PIP_DISABLE_PIP_VERSION_CHECK: '1', PIP_NO_INPUT: '1', PIP_ROOT_USER_ACTION: 'ignore' };
  // pip treats both names as one option.
  const timeouts = { PIP_TIMEOUT: String(timeoutSec), PIP_DEFAULT_TIMEOUT: String(timeoutSec) };
  return { PIP_RETRIES: String(RETRIES), ...env, ...timeouts, ...fixed };
}

/** uv's environment for the same source: https://docs.astral.sh/uv/reference/environment/ */
export function uvEnv({ env, mirror, timeoutSec }: IndexSource): Record<string, string> {
  const fixed = {
    UV_HTTP_TIMEOUT: String(timeoutSec),
    UV_HTTP_CONNECT_TIMEOUT: String(timeoutSec),
    UV_HTTP_RETRIES: env['PIP_RETRIES'] ?? String(RETRIES),
    UV_PYTHON_DOWNLOADS: 'never',
    UV_NO_ENV_FILE: '1',
  };
  const proxies = Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('PIP_')));
  const proxy = env['PIP_PROXY'];
  const cert = env['PIP_CERT'];
  const common = {
    ...proxies,
    ...(proxy === undefined ? {} : { ALL_PROXY: proxy }),
    ...(cert === undefined ? {} : { SSL_CERT_FILE: cert }),
    ...fixed,
  };
  if (mirror !== '') {
    const { protocol, host } = new URL(mirror);
    return { ...common, UV_DEFAULT_INDEX: mirror, ...(protocol === 'http:' ? { UV_INSECURE_HOST: host } : {}) };
  }
  return { ...common, ...translated(env) };
}

/** pip's option, uv's variable, and the conversion of the value. */
const TRANSLATIONS: readonly [string, string, (value: string) => string][] = [
  ['PIP_INDEX_URL', 'UV_DEFAULT_INDEX', String],
  ['PIP_EXTRA_INDEX_URL', 'UV_INDEX', String],
  // pip takes the best version of all indexes, so uv must do so, too. With this strategy, uv does not report which
  // index refused a request.
  ['PIP_EXTRA_INDEX_URL', 'UV_INDEX_STRATEGY', () => 'unsafe-best-match'],
  ['PIP_FIND_LINKS', 'UV_FIND_LINKS', (value) => value.split(/\s+/).join(',')],
  ['PIP_NO_INDEX', 'UV_NO_INDEX', () => '1'],
  ['PIP_TRUSTED_HOST', 'UV_INSECURE_HOST', String],
  ['PIP_PRE', 'UV_PRERELEASE', () => 'allow'],
];

function translated(env: Readonly<Record<string, string>>): Record<string, string> {
  const pairs = TRANSLATIONS.flatMap(([pip, uv, change]) => {
    const value = env[pip];
    return value === undefined || value === '' || isOff(pip, value) ? [] : [[uv, change(value)] as const];
  });
  return { ...Object.fromEntries(pairs), ...binaries(env) };
}

/** Whether a pip flag is set to off. */
function isOff(name: string, value: string): boolean {
  return (name === 'PIP_NO_INDEX' || name === 'PIP_PRE') && /^(0|no|false|off)$/i.test(value);
}

/** Converts `:all:`, `:none:` or a list of packages, as in pip's --only-binary and --no-binary. */
function binaries(env: Readonly<Record<string, string>>): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [pip, all, some] of [
    ['PIP_NO_BINARY', 'UV_NO_BINARY', 'UV_NO_BINARY_PACKAGE'],
    ['PIP_ONLY_BINARY', 'UV_NO_BUILD', 'UV_NO_BUILD_PACKAGE'],
  ] as const) {
    const names = (env[pip] ?? '').split(/[\s,]+/).filter((name) => name !== '' && name !== ':none:');
    if (names.includes(':all:')) out[all] = '1';
    else if (pip === 'PIP_NO_BINARY' && names.length > 0) out[some] = names.join(' ');
  }
  return out;
}
