/** Sends an archive to a worker or the boss, and tells how its packages get installed meanwhile. */
import { createReadStream, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import { z } from 'zod';
import { CliError } from '../command';
import { authorization, type Target } from '../target';

/** How often the worker is asked how far the install is, ms. */
const POLL_MS = 150;
/** Installs may take as long as installer_limits.runtime_sec allows each package, ms. */
const UPLOAD_MS = 3_600_000;

const stateShape = z.object({
  packages: z.array(z.object({ spec: z.string(), ms: z.number(), bytes: z.number() })),
});

/**
 * Uploads a function and returns once the server has it, and its packages, installed.
 * @param tell called with a line for each package that got ready meanwhile
 * @throws CliError with the server's status and words
 */
export async function upload(target: Target, name: string, file: string, tell: (line: string) => void): Promise<void> {
  const done = new AbortController();
  const progress = follow(target, name, tell, done.signal);
  try {
    const answer = await request(`${target.url}/registry/${name}?install=wait`, {
      method: 'POST',
      body: createReadStream(file),
      headersTimeout: UPLOAD_MS,
      headers: {
        'content-type': 'application/octet-stream',
        'content-length': String(statSync(file).size),
        ...authorization(target),
      },
    });
    const body = await answer.body.text();
    if (answer.statusCode !== 201) {
      throw new CliError(`could not install ${name}: the server answered ${answer.statusCode}: ${body.trim()}`);
    }
  } finally {
    done.abort();
    await progress;
  }
}

/** Tells each package once, until `signal`. A server that knows no progress, as the original, is asked once. */
async function follow(target: Target, name: string, tell: (line: string) => void, signal: AbortSignal): Promise<void> {
  let told = 0;
  for (let last = false; !last;) {
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
    last = signal.aborted;
    const state = await installState(target, name).catch(() => undefined);
    if (state === undefined) return;
    for (const { spec, ms, bytes } of state.packages.slice(told)) {
      tell(`  ${spec}  ${(bytes / 1e6).toFixed(1)} MB  ${(ms / 1000).toFixed(2)} s\n`);
    }
    told = Math.max(told, state.packages.length);
  }
}

async function installState(target: Target, name: string): Promise<z.output<typeof stateShape> | undefined> {
  const answer = await request(`${target.url}/registry/${name}/install`, { headers: authorization(target) });
  const text = await answer.body.text();
  if (answer.statusCode !== 200) return undefined;
  return stateShape.safeParse(JSON.parse(text)).data;
}
