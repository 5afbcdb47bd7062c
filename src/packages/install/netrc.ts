/**
 * Reads credentials for package indexes from the worker's netrc file, as pip and uv do on the host. A sandbox gets only
 * the entries of the configured hosts.
 */
import { execFile } from 'node:child_process';
import { access } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** The default index of both tools. */
const DEFAULT_INDEX = 'https://pypi.org/simple';
/** Python's own parser, as in pip. Prints one list of login, account and password per host; null without an entry. */
const SCRIPT = `import json, netrc, sys
entries = netrc.netrc(sys.argv[1])
print(json.dumps([entries.authenticators(host) for host in sys.argv[2:]]))`;

/** Hosts of the package indexes, without ports. netrc entries are named by host. */
export function indexHosts(mirror: string, env: Readonly<Record<string, string>>): string[] {
  const named = ['PIP_EXTRA_INDEX_URL', 'PIP_FIND_LINKS'].map((name) => env[name] ?? '');
  const urls = mirror === '' ? [env['PIP_INDEX_URL'] ?? DEFAULT_INDEX, ...named] : [mirror];
  const hosts = urls
    .flatMap((text) => text.split(/\s+/))
    .filter((url) => /^https?:/.test(url) && URL.canParse(url))
    .map((url) => new URL(url).hostname);
  return [...new Set(hosts)];
}

/**
 * The netrc file for installers, with the entries of `hosts`; '' when there are none. As in pip, a file that Python
 * cannot read has no entries.
 */
export async function readNetrc(hosts: readonly string[], env = process.env, python = '/usr/bin/python3') {
  const path = env['NETRC'] ?? join(env['HOME'] ?? homedir(), '.netrc');
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  if (hosts.length === 0 || !isThere) return '';
  const run = promisify(execFile)(python, ['-I', '-c', SCRIPT, path, ...hosts], { timeout: 30_000 });
  const listing = await run.then(
    ({ stdout }) => stdout,
    () => '[]',
  );
  const entries = JSON.parse(listing) as ([string, string | null, string | null] | null)[];
  return entries
    .map((entry, index) => {
      const [login, , password] = entry ?? [];
      if (login === undefined || password === undefined || password === null) return '';
      return `machine ${hosts[index] ?? ''} login ${token(login)} password ${token(password)}\n`;
    })
    .join('');
}

/** Quotes values with blanks. */
function token(value: string): string {
  return /^[^\s"]+$/.test(value) ? value : `"${value.replace(/[\\"]/g, '\\$&')}"`;
}
