/**
 * Reads the host's pip configuration (files and PIP_* variables) once and converts it to the environment of the
 * installer sandbox. The sandbox sees neither the host's /etc nor the worker's home.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Path of the host's CA certificates in the base image. `ol worker init` copies them there. */
export const SANDBOX_CA_FILE = '/etc/ssl/certs/ca-certificates.crt';

/**
 * Options that define the source of packages and the access to it. The worker sets other options itself (target,
 * prefix, user …).
 */
const CARRIED = new Set([
  ...['index-url', 'extra-index-url', 'no-index', 'find-links', 'trusted-host', 'cert', 'proxy'],
  ...['timeout', 'default-timeout', 'retries', 'no-binary', 'only-binary', 'prefer-binary', 'pre'],
]);
const PROXIES = ['http_proxy', 'https_proxy', 'no_proxy', 'all_proxy'];

/**
 * Converts the output of `pip config list` to PIP_* variables. As in pip, a PIP_* variable overrides the section
 * `install`, which overrides `global`. find-links directories that the sandbox cannot see are dropped.
 */
export function pipEnvFromConfig(listing: string): Record<string, string> {
  const rank: Record<string, number> = { global: 1, install: 2, ':env:': 3 };
  const found = new Map<string, { value: string; rank: number }>();
  for (const line of listing.split('\n')) {
    const [, section = '', key = '', literal = ''] = /^(:env:|[\w-]+)\.([\w-]+)=(.*)$/.exec(line.trimEnd()) ?? [];
    const lineRank = rank[section];
    const option = key.replaceAll('_', '-').toLowerCase();
    if (lineRank === undefined || !CARRIED.has(option) || (found.get(option)?.rank ?? 0) > lineRank) continue;
    found.set(option, { value: visible(option, unquote(literal)), rank: lineRank });
  }
  const env: Record<string, string> = {};
  for (const [option, { value }] of found) {
    if (value !== '') env[`PIP_${option.toUpperCase().replaceAll('-', '_')}`] = value;
  }
  return env;
}

/** The worker's proxy variables in upper and lower case. pip reads them itself. */
export function proxyEnv(env: NodeJS.ProcessEnv): Record<string, string> {
  const carried: Record<string, string> = {};
  for (const name of PROXIES.flatMap((proxy) => [proxy, proxy.toUpperCase()])) {
    const value = env[name];
    if (value !== undefined && value !== '') carried[name] = value;
  }
  return carried;
}

/**
 * Runs pip once as the worker and returns the environment for installers. If pip cannot be run, there are no settings,
 * and pip's defaults apply in the sandbox.
 * @param python path of an interpreter with pip
 */
export async function readPipEnv(python = '/usr/bin/python3', env = process.env): Promise<Record<string, string>> {
  const options = { env, timeout: 30_000, maxBuffer: 1 << 20 };
  const listing = await promisify(execFile)(python, ['-m', 'pip', 'config', 'list'], options).then(
    ({ stdout }) => stdout,
    () => '',
  );
  return { ...proxyEnv(env), ...pipEnvFromConfig(listing) };
}

/** URLs that an installer with this environment connects to. A proxy's `host:port` becomes an http:// URL. */
export function packageSources(env: Readonly<Record<string, string>>): URL[] {
  const names = ['PIP_INDEX_URL', 'PIP_EXTRA_INDEX_URL', 'PIP_FIND_LINKS', 'PIP_PROXY', 'http_proxy', 'https_proxy'];
  return names
    .flatMap((name) => (env[name] ?? '').split(/\s+/))
    .filter((value) => value !== '' && !value.startsWith('/'))
    .map((value) => (value.includes('://') ? value : `http://${value}`))
    .filter((value) => URL.canParse(value))
    .map((value) => new URL(value));
}

/** Decodes a value that pip prints as Python's repr() of a string. */
function unquote(literal: string): string {
  const quoted = /^(['"])(.*)\1$/.exec(literal);
  const escapes: Record<string, string> = { n: '\n', t: '\t', r: '\r' };
  return (quoted?.[2] ?? literal).replace(/\\(.)/g, (_, char: string) => escapes[char] ?? char);
}

/** Replaces paths of the host by those of the sandbox; '' drops the setting. */
function visible(option: string, value: string): string {
  if (option === 'cert') return SANDBOX_CA_FILE;
  const words = value.split(/\s+/).filter((word) => word !== '');
  if (option !== 'find-links') return words.join(' ');
  return words.filter((word) => /^https?:/.test(word) || /^(file:\/\/)?\/usr\//.test(word)).join(' ');
}

/** Hides the credentials of URLs, such as those of a package index, in a tool's output. Pure. */
export function withoutCredentials(output: string): string {
  return output.replace(/\/\/[^\s/@]*@/g, '//****@');
}
