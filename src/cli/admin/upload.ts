/** Sends an archive to a worker or the boss, and reports the progress of its package install. */
import { createReadStream, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { CliError } from '../command';
import { request } from '../request';
import { authorization, type Target } from '../target';

/** Time between two polls of the install's progress, ms. */
const POLL_MS = 150;
/** Time limit of an upload, ms. The worker limits each package's install to installer_limits.runtime_sec. */
const UPLOAD_MS = 3_600_000;

const stateShape = z.object({
  packages: z.array(z.object({ spec: z.string(), ms: z.number(), bytes: z.number() })),
  warnings: z.array(z.string()).optional(),
});

export interface UploadOptions {
  signal?: AbortSignal;
  /** Called with the number of installed packages. */
  onPackages?: (count: number) => void;
}

/**
 * Uploads a function. The next call runs the new code. Returns when the server has stored the function and installed
 * its packages.
 * @param report is called with a line for each installed package
 * @throws CliError with the server's status and message
 */
export async function upload(
  target: Target,
  name: string,
  file: string,
  report: (line: string) => void,
  { signal, onPackages }: UploadOptions = {},
): Promise<void> {
  const done = new AbortController();
  const progress = follow(target, name, { report, onPackages }, done.signal);
  try {
    const answer = await request(`${target.url}/registry/${name}?install=wait&fresh=1`, {
      method: 'POST',
      body: createReadStream(file),
      ...(signal === undefined ? {} : { signal }),
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

/**
 * Reports each package once, until `signal` aborts. A server without progress reports, such as the original, is polled
 * once.
 */
async function follow(
  target: Target,
  name: string,
  { report, onPackages }: { report: (line: string) => void; onPackages: UploadOptions['onPackages'] },
  signal: AbortSignal,
): Promise<void> {
  let reported = 0;
  for (let last = false; !last;) {
    await sleep(POLL_MS, undefined, { signal }).catch(() => undefined);
    last = signal.aborted;
    const state = await installState(target, name).catch(() => undefined);
    if (state === undefined) return;
    if (last) for (const warning of state.warnings ?? []) report(`warning: ${warning}\n`);
    for (const { spec, ms, bytes } of state.packages.slice(reported)) {
      report(`  ${spec}  ${(bytes / 1e6).toFixed(1)} MB  ${(ms / 1000).toFixed(2)} s\n`);
    }
    onPackages?.(state.packages.length);
    reported = Math.max(reported, state.packages.length);
  }
}

async function installState(target: Target, name: string): Promise<z.output<typeof stateShape> | undefined> {
  const answer = await request(`${target.url}/registry/${name}/install`, { headers: authorization(target) });
  const text = await answer.body.text();
  if (answer.statusCode !== 200) return undefined;
  return stateShape.safeParse(JSON.parse(text)).data;
}
