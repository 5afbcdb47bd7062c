/** `ol worker down`, `force-cleanup` and `status`. */
import { existsSync } from 'node:fs';
import { CliError, EXIT, type Command, type CommandContext } from '../command';
import { urlOf } from '../url';
import { olDirOf, PATH_FLAG } from './flags';
import { bringToStoppedClean, lenientConfig } from './process/stop';

/** Time limit of the response, ms. */
const STATUS_MS = 10_000;

async function down({ flags, cwd, services, out }: CommandContext): Promise<number> {
  const olDir = olDirOf(cwd, flags.string('path'));
  if (!existsSync(olDir)) throw new CliError(`${olDir} does not exist: run ol worker init first`);
  out(`${await bringToStoppedClean(olDir, services)}\n`);
  return EXIT.ok;
}

/** Asks the server at `url`. Resolves with the line that the original's status command prints. */
export async function describeStatus(url: string): Promise<{ ok: boolean; line: string }> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(STATUS_MS) });
    const body = await response.text();
    return { ok: response.ok, line: `  ${url} => ${body} [${response.status} ${response.statusText}]\n` };
  } catch (cause) {
    throw new CliError(`no answer from ${url}: is the worker running?`, { cause });
  }
}

async function status({ flags, cwd, out }: CommandContext): Promise<number> {
  const olDir = olDirOf(cwd, flags.string('path'));
  if (!existsSync(olDir)) throw new CliError(`${olDir} does not exist: run ol worker init first`);
  const { config, port } = lenientConfig(olDir);
  const { ok, line } = await describeStatus(`${urlOf(config?.worker_url ?? '', port)}/status`);
  out(line);
  return ok ? EXIT.ok : EXIT.error;
}

export const downCommand: Command = { name: 'down', usage: 'stop a worker', flags: [PATH_FLAG], run: down };

export const forceCleanupCommand: Command = {
  name: 'force-cleanup',
  usage: 'stop a worker and clean up behind one that was killed',
  flags: [PATH_FLAG],
  run: down,
};

export const statusCommand: Command = {
  name: 'status',
  usage: 'ask a worker whether it is ready',
  flags: [PATH_FLAG],
  run: status,
};
