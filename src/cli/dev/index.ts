/** `ol dev DIR`: uploads a function after each change of its folder, and prints its log. */
import { statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { asArgyleError } from '../../errors';
import { checkLambdaName } from '../../lambda/code/name';
import { checkRunning } from '../admin/install';
import { installFolder } from '../admin/install-folder';
import { toolsFor } from '../admin/tools-for';
import { JSON_FLAG, onlyArgument, TARGET_FLAG, targetOf } from '../ask';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { printLog } from '../logs';
import { FolderWatch } from './watch';

/** Delay before reconnecting to the log, ms. */
const AGAIN_MS = 500;

interface Folder {
  dir: string;
  name: string;
}

function folderOf({ args, flags, cwd }: CommandContext): Folder {
  const given = onlyArgument(args, 'folder');
  const dir = resolve(cwd, given);
  if (statSync(dir, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new CliError(`${given} is no directory; ol new NAME makes one with a function`);
  }
  const name = flags.string('name') === '' ? basename(dir) : flags.string('name');
  checkLambdaName(name);
  return { dir, name };
}

/** Uploads once. Resolves with whether the worker accepted the upload; prints the reason if not. */
async function uploaded(context: CommandContext, { dir, name }: Folder, signal: AbortSignal): Promise<boolean> {
  const { cwd, env, err, flags } = context;
  const startMs = performance.now();
  try {
    const tools = await toolsFor(cwd, flags.string('path'), env, join(dir, 'ol.yaml'));
    await installFolder(targetOf(context), name, { dir, tools, signal }, err);
    err(`uploaded ${name} in ${Math.round(performance.now() - startMs)} ms\n`);
    return true;
  } catch (thrown) {
    if (signal.aborted) return false;
    err(`not uploaded: ${asArgyleError('LAMBDA_CODE', thrown).message.trim()}\n`);
    return false;
  }
}

/** Prints the log until `signal` aborts. Reconnects after restarts of the worker. */
async function follow(context: CommandContext, name: string, signal: AbortSignal): Promise<void> {
  const target = targetOf(context);
  const json = context.flags.bool('json');
  let query = new URLSearchParams({ tail: '0', follow: '1' });
  for (let told = false; ; told = true) {
    const startMs = performance.now();
    await printLog(target, { name, query, json, signal }, context).catch(() => undefined);
    if (signal.aborted) return;
    if (!told || performance.now() - startMs > AGAIN_MS) {
      context.err('the worker sends no log; waiting for it\n');
      query = new URLSearchParams({ since: new Date().toISOString(), follow: '1' });
    }
    await sleep(AGAIN_MS, undefined, { signal }).catch(() => undefined);
  }
}

/**
 * Uploads now and after each change, one upload at a time, until `signal` aborts. @param onFirst called after the first
 * success
 */
async function keepUploading(
  context: CommandContext,
  folder: Folder,
  signal: AbortSignal,
  onFirst: () => void,
): Promise<void> {
  let wake: () => void = () => undefined;
  let changed = true;
  const watch = new FolderWatch(folder.dir, {
    onChange: () => {
      changed = true;
      wake();
    },
    onPoll: (reason) => {
      context.err(`warning: ${reason}; the folder is looked at every second\n`);
    },
  });
  signal.addEventListener('abort', () => {
    wake();
  });
  let first = true;
  try {
    while (!signal.aborted) {
      if (!changed) {
        await new Promise<void>((done) => (wake = done));
        continue;
      }
      changed = false;
      if ((await uploaded(context, folder, signal)) && first) {
        first = false;
        onFirst();
      }
    }
  } finally {
    watch.close();
  }
}

/** Example commands that call the function. Pure. */
export function howToCall(url: string, name: string, path: string): string {
  const where = path === '' ? '' : ` -p ${path}`;
  return `call it:  ol invoke ${name}${where} -d '{}'\n     or:  curl -d '{}' ${url}/run/${name}\n`;
}

async function run(context: CommandContext): Promise<number> {
  const folder = folderOf(context);
  const { err } = context;
  const target = targetOf(context);
  await checkRunning(target);
  const stop = new AbortController();
  const end = (): void => {
    stop.abort();
  };
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, end);
  let log: Promise<void> = Promise.resolve();
  try {
    err(`watching ${folder.dir}; Ctrl-C ends\n`);
    await keepUploading(context, folder, stop.signal, () => {
      err(howToCall(target.url, folder.name, context.flags.string('path')));
      log = follow(context, folder.name, stop.signal);
    });
    await log;
  } finally {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, end);
  }
  err(`stopped; ${folder.name} stays in the worker, ol rm deletes it\n`);
  return EXIT.ok;
}

export const devCommand: Command = {
  name: 'dev',
  usage: 'upload a function whenever its folder changes, and show its log',
  argsUsage: 'DIR',
  flags: [
    TARGET_FLAG,
    { name: 'name', aliases: ['n'], kind: 'string', usage: 'name of the function; by default that of the folder' },
    { ...JSON_FLAG, usage: 'print the log as JSON, one object a line' },
  ],
  interspersed: true,
  run,
};
