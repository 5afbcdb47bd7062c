/**
 * The secrets of a worker: files that its operator keeps apart from functions. A function gets the secrets that its
 * ol.yaml names. Values go only into the boot frame of a sandbox. Errors name the secret and the file, never a value.
 */
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ArgyleError } from '../../errors';

/** Accepted names of secrets. Every shell accepts such a name as a variable. */
export const SECRET_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;
/** Maximum number of secrets of one function. */
export const MAX_SECRETS = 100;
/** Largest secret, in bytes. Linux accepts 128 KiB for one variable. */
export const MAX_SECRET_BYTES = 64 * 1024;
/** Largest sum of one function's secrets, in bytes. */
const MAX_TOTAL_BYTES = 256 * 1024;

/** The part of the secrets that CodePuller needs. */
export interface SecretSource {
  /**
   * The current values. @throws ArgyleError LAMBDA_SECRET for a secret that is missing, readable by others, or no text
   */
  read(names: readonly string[]): Promise<Record<string, string>>;
  /** The names that read() would refuse, each with the reason. */
  problems(names: readonly string[]): Promise<string[]>;
}

export interface SecretPlaces {
  /** Directory of the worker's own secrets, mode 0700. The directory may be missing. */
  dir: string;
  /** $CREDENTIALS_DIRECTORY of the service manager; undefined without a service manager. */
  credentials?: string | undefined;
}

/** Directory of a worker's secrets. @param setting argyle.secrets_dir; '' for a directory beside the worker's */
export function secretsDir(setting: string, workerDir: string): string {
  return setting === '' ? join(dirname(workerDir), 'secrets') : setting;
}

/** Reads secrets anew each time, so a change needs no notice to the worker. */
export class SecretFiles implements SecretSource {
  constructor(private readonly places: SecretPlaces) {}

  async read(names: readonly string[]): Promise<Record<string, string>> {
    const values: Record<string, string> = {};
    let total = 0;
    for (const name of names) {
      const value = await this.value(name);
      total += value.length;
      values[name] = value;
    }
    if (total > MAX_TOTAL_BYTES) throw refused(names[0] ?? '', `all of them have more than ${MAX_TOTAL_BYTES} bytes`);
    return values;
  }

  async problems(names: readonly string[]): Promise<string[]> {
    const found = await Promise.all(
      names.map((name) =>
        this.read([name]).then(
          () => [],
          (thrown: unknown) => [(thrown as Error).message],
        ),
      ),
    );
    return found.flat();
  }

  /**
   * The value of a secret. POLICY: the worker's own directory comes first, so `ol secret set` also works under a
   * service manager.
   */
  private async value(name: string): Promise<string> {
    const { dir, credentials } = this.places;
    const stat = await fs.stat(dir).catch(() => undefined);
    if (stat !== undefined && (stat.mode & 0o077) !== 0) {
      throw refused(name, `${dir} is open to other users (mode ${octal(stat.mode)}): chmod 700 ${dir}`);
    }
    // POLICY: group bits are allowed here. A service manager admits its service by an access list, which appears as
    // group bits.
    const bytes =
      (await readPrivate(name, join(dir, name), 0o077)) ??
      (credentials === undefined ? undefined : await readPrivate(name, join(credentials, name), 0o007));
    if (bytes === undefined) throw refused(name, `it is not set: ol secret set ${name}`);
    return textOf(name, bytes);
  }
}

/** Reads a file that others cannot read. @returns undefined for a missing file */
async function readPrivate(name: string, file: string, others: number): Promise<Buffer | undefined> {
  let handle: fs.FileHandle;
  try {
    handle = await fs.open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw refused(name, `the worker cannot read ${file} (${code ?? 'unknown'})`);
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw refused(name, `${file} is no regular file`);
    if ((stat.mode & others) !== 0) {
      throw refused(name, `${file} is open to other users (mode ${octal(stat.mode)}): chmod 600 ${file}`);
    }
    if (stat.size > MAX_SECRET_BYTES) throw refused(name, `${file} has more than ${MAX_SECRET_BYTES} bytes`);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

/** The value in a file. The final newline, which editors and `echo` add, is removed. @throws LAMBDA_SECRET */
export function textOf(name: string, bytes: Buffer): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw refused(name, 'it is no UTF-8 text: set it encoded, as base64 perhaps');
  }
  if (text.includes('\0')) throw refused(name, 'it has a NUL byte, which no environment takes: set it encoded');
  return text.replace(/\r?\n$/, '');
}

/** The secrets of a worker without any, such as the warm-up. */
export const NO_SECRETS: SecretSource = {
  read: (names) => Promise.reject(refused(names[0] ?? '', 'this worker keeps no secrets')),
  problems: () => Promise.resolve([]),
};

/** Whether two sets of secrets have the same names and values. Pure. */
export function sameSecrets(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

function refused(name: string, why: string): ArgyleError {
  return new ArgyleError('LAMBDA_SECRET', `secret ${name}: ${why}`, { field: 'secrets', value: name });
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}
