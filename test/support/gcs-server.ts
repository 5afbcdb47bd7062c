/**
 * Test support: a server with Google Cloud Storage's protocol. Neither npm nor Debian has such a server. The tests use
 * PyPI's `gcp-storage-emulator` if it is installed; otherwise the tests are skipped.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { freePort } from './ports';

/** ARGYLE_GCS_EMULATOR is the program's path when it is not on PATH. */
const PROGRAM = process.env['ARGYLE_GCS_EMULATOR'] ?? 'gcp-storage-emulator';

export interface GcsServer {
  url: string;
  close(): Promise<void>;
}

/** Why a server cannot run on this machine; undefined when it can. */
export function whyNoGcs(): string | undefined {
  return spawnSync(PROGRAM, ['--help']).status === 0 ? undefined : 'gcp-storage-emulator is not installed';
}

/** @param bucket is created at once @throws Error when the server does not answer within 15 s */
export async function startGcs(bucket: string): Promise<GcsServer> {
  const port = await freePort();
  const args = ['start', '--host=127.0.0.1', `--port=${port}`, '--in-memory', `--default-bucket=${bucket}`];
  const server = spawn(PROGRAM, args, { stdio: 'ignore' });
  const url = `http://127.0.0.1:${port}`;
  const end = Date.now() + 15_000;
  while (
    !(await fetch(url).then(
      () => true,
      () => false,
    ))
  ) {
    if (Date.now() > end) throw new Error(`${PROGRAM} does not answer on ${url}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return {
    url,
    close: async () => {
      server.kill('SIGKILL');
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
    },
  };
}
