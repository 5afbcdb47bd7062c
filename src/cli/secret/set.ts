/** `ol secret set`: writes a secret's file. */
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { buffer } from 'node:stream/consumers';
import { Writable } from 'node:stream';
import { MAX_SECRET_BYTES, textOf } from '../../lambda/code/secrets';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { PATH_FLAG } from '../worker/flags';
import { placeOf, secretName, type SecretPlace } from './place';

/** Reads a value from the terminal without echo. */
async function typed(name: string, err: (text: string) => void): Promise<Buffer> {
  const hidden = new Writable({
    write: (_chunk, _encoding, done) => {
      done();
    },
  });
  err(`Value of ${name}: `);
  const lines = createInterface({ input: process.stdin, output: hidden, terminal: true });
  const interrupted = new Promise<never>((_resolve, reject) => {
    lines.once('SIGINT', () => {
      reject(new CliError('nothing was set'));
    });
  });
  try {
    return Buffer.from(await Promise.race([lines.question(''), interrupted]));
  } finally {
    lines.close();
    err('\n');
  }
}

async function valueFor(name: string, { flags, cwd, err }: CommandContext): Promise<Buffer> {
  const file = flags.string('file');
  if (file !== '' && file !== '-') {
    try {
      return readFileSync(resolve(cwd, file));
    } catch (cause) {
      throw new CliError(`${file} cannot be read: ${(cause as Error).message}`, { cause });
    }
  }
  return process.stdin.isTTY ? typed(name, err) : buffer(process.stdin);
}

/** Writes the file atomically, readable only by the worker's user. */
function store({ olDir, dir }: SecretPlace, name: string, value: Buffer): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  chmodSync(dir, 0o700);
  const staged = join(dir, `.${name}.${randomBytes(6).toString('hex')}`);
  try {
    writeFileSync(staged, value, { flag: 'wx', mode: 0o600 });
    if (process.getuid?.() === 0) {
      // POLICY: root may set a secret for another user's worker, so the file gets the owner of the worker's directory.
      const { uid, gid } = statSync(olDir);
      for (const path of [dir, staged]) chownSync(path, uid, gid);
    }
    renameSync(staged, join(dir, name));
  } finally {
    rmSync(staged, { force: true });
  }
}

async function run(context: CommandContext): Promise<number> {
  const name = secretName(context.args);
  const place = placeOf(context);
  const value = await valueFor(name, context);
  if (value.length > MAX_SECRET_BYTES) throw new CliError(`secret ${name}: more than ${MAX_SECRET_BYTES} bytes`);
  if (textOf(name, value) === '') throw new CliError(`secret ${name}: the value is empty; nothing was set`);
  store(place, name, value);
  context.out(`${name} is set; functions that ask for it get it with the worker's next look at the registry\n`);
  return EXIT.ok;
}

export const setCommand: Command = {
  name: 'set',
  usage: 'set a secret; the value comes from standard input, or is asked for',
  argsUsage: 'NAME',
  flags: [PATH_FLAG, { name: 'file', aliases: ['f'], kind: 'string', usage: 'file with the value' }],
  interspersed: true,
  run,
};
