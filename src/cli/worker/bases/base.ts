/**
 * The base directory of sandboxes, made from the host: an almost empty root. The helper binds the host's /usr to it,
 * read-only. This needs no download and no container engine.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { lstatSync, readdirSync, chmodSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { CliError } from '../../command';

/** The helper's mount points: code, package staging, packages, guest runtime. `dev` gets the device nodes. */
const MOUNT_POINTS = ['usr', 'dev', 'handler', 'host', 'packages', 'runtime'];

/** Top-level links of a merged-/usr system. */
const USR_LINKS = ['bin', 'sbin', 'lib', 'lib64', 'lib32', 'libx32'];

/** Files of /etc that programs read and that contain nothing about the host's users. */
const ETC_FILES = ['ld.so.cache', 'mime.types', 'protocols', 'services', 'localtime', 'ssl/openssl.cnf'];

/** Directories of /etc that links in /usr point to: Debian's alternatives and its Python configuration. */
const ETC_DIRS = /^(alternatives|python3(\.\d+)?)$/;

/** Certificate bundles, by distribution. */
const CA_BUNDLES = ['etc/ssl/certs/ca-certificates.crt', 'etc/pki/tls/certs/ca-bundle.crt', 'etc/ssl/ca-bundle.pem'];

/** Path of the bundle in a sandbox, below /etc. */
const SANDBOX_BUNDLE = 'ssl/certs/ca-certificates.crt';

/** The contract's nameserver, used when the host has none that a sandbox can reach. */
const FALLBACK_RESOLV = 'nameserver 8.8.8.8\n';

/** Lines of files in /etc. The account `sandbox` has the uid of guests inside their user namespace. */
const ACCOUNTS = {
  passwd: [
    'root:x:0:0:root:/tmp:/usr/sbin/nologin',
    'sandbox:x:1000:1000:sandbox:/tmp:/usr/sbin/nologin',
    'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
  ],
  group: ['root:x:0:', 'sandbox:x:1000:', 'nogroup:x:65534:'],
  hosts: ['127.0.0.1 localhost sandbox', '::1 localhost ip6-localhost ip6-loopback'],
  'nsswitch.conf': ['passwd: files', 'group: files', 'hosts: files dns', 'services: files', 'protocols: files'],
};

function put(path: string, content: string | Buffer): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(path, content, { mode: 0o644 });
  chmodSync(path, 0o644);
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

/**
 * The resolver configuration of sandboxes. Pure except for `read`.
 *
 * POLICY: a sandbox cannot reach a stub resolver on the host's loopback interface. For systemd's stub resolver, the
 * upstream servers are used. If the host has only loopback nameservers, its file is used unchanged.
 */
export function resolvConf(read: (path: string) => string | undefined): string {
  const own = read('/etc/resolv.conf');
  const servers = (text: string) => [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map((match) => match[1] ?? '');
  const usable = (text: string) => servers(text).some((server) => !/^(127\.|::1$)/.test(server));
  const behind = read('/run/systemd/resolve/resolv.conf');
  if (own !== undefined && usable(own)) return own;
  if (behind !== undefined && usable(behind)) return behind;
  return own !== undefined && servers(own).length > 0 ? own : FALLBACK_RESOLV;
}

/** Adds the directories that every base needs, whatever its source. */
export function addMountPoints(baseDir: string): void {
  for (const name of [...MOUNT_POINTS, 'etc', 'tmp']) {
    const path = join(baseDir, name);
    if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) mkdirSync(path, { mode: 0o755 });
  }
  chmodSync(join(baseDir, 'tmp'), 0o1777);
}

/** Makes the sandbox's host name resolve in a base with or without an /etc/hosts of its own. */
export function addHostname(baseDir: string): void {
  const path = join(baseDir, 'etc/hosts');
  const old = readIfThere(path)?.toString('utf8') ?? '';
  if (!/^[^#\n]*\ssandbox(\s|$)/m.test(old)) put(path, `${old.replace(/\n*$/, '\n').trimStart()}127.0.0.1 sandbox\n`);
}

/** Writes the base's resolv.conf. */
export function addResolvConf(baseDir: string): void {
  put(
    join(baseDir, 'etc/resolv.conf'),
    resolvConf((path) => readIfThere(path)?.toString('utf8')),
  );
}

/** The certificates that the host trusts. */
function hostBundle(env: NodeJS.ProcessEnv, hostRoot = '/'): Buffer | undefined {
  for (const path of [env['SSL_CERT_FILE'], ...CA_BUNDLES.map((bundle) => join(hostRoot, bundle))]) {
    const bundle = path === undefined ? undefined : readIfThere(path);
    if (bundle !== undefined) return bundle;
  }
  return undefined;
}

/** Makes a base trust the host's certificates, whether or not it has certificates of its own. */
export function addCaBundle(baseDir: string, env: NodeJS.ProcessEnv): void {
  const bundle = hostBundle(env);
  const path = join(baseDir, 'etc', SANDBOX_BUNDLE);
  const old = lstatSync(path, { throwIfNoEntry: false })?.isFile() === true ? readFileSync(path) : Buffer.alloc(0);
  if (bundle === undefined || old.includes(bundle)) return;
  put(path, Buffer.concat([bundle, Buffer.from('\n'), old]));
}

function linkUsr(baseDir: string, hostRoot: string): void {
  for (const name of USR_LINKS) {
    const stat = lstatSync(join(hostRoot, name), { throwIfNoEntry: false });
    if (stat === undefined) continue;
    const target = stat.isSymbolicLink() ? readlinkSync(join(hostRoot, name)).replace(/^\//, '') : '';
    if (!target.startsWith('usr/')) {
      throw new CliError(`/${name} of this host is no link into /usr, so it can't be a base: give one with -i`);
    }
    symlinkSync(target, join(baseDir, name));
  }
}

/** Makes `baseDir` (must not exist) from the host. @throws CliError on hosts without a merged /usr */
export function makeHostBase(baseDir: string, env: NodeJS.ProcessEnv, hostRoot = '/'): void {
  mkdirSync(baseDir, { recursive: true, mode: 0o755 });
  addMountPoints(baseDir);
  linkUsr(baseDir, hostRoot);
  const etc = join(baseDir, 'etc');
  for (const [name, lines] of Object.entries(ACCOUNTS)) put(join(etc, name), `${lines.join('\n')}\n`);
  for (const name of ETC_FILES) {
    const content = readIfThere(join(hostRoot, 'etc', name));
    if (content !== undefined) put(join(etc, name), content);
  }
  const bundle = hostBundle(env, hostRoot);
  if (bundle !== undefined) put(join(etc, SANDBOX_BUNDLE), bundle);
  for (const name of existsSync(join(hostRoot, 'etc')) ? readdirSync(join(hostRoot, 'etc')) : []) {
    if (!ETC_DIRS.test(name)) continue;
    cpSync(join(hostRoot, 'etc', name), join(etc, name), { recursive: true, verbatimSymlinks: true });
  }
  addResolvConf(baseDir);
}
