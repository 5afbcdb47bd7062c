/**
 * Test support: a server that speaks Google Cloud Storage's protocol. Neither npm nor Debian has one, so the tests that
 * need it run where PyPI's `gcp-storage-emulator` is installed and are skipped elsewhere.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { freePort } from './ports';

/** ARGYLE_GCS_EMULATOR names the program when it is not on the PATH. */
const PROGRAM = process.env['ARGYLE_GCS_EMULATOR'] ?? 'gcp-storage-emulator';

export interface GcsServer {
  url: string;
  close(): Promise<void>;
}

/** Why there can be no server here, or undefined. */
export function whyNoGcs(): string | undefined {
  return spawnSync(PROGRAM, ['--help']).status === 0 ? undefined : 'gcp-storage-emulator is not installed';
}

/** @param bucket made at once @throws Error when it does not answer within 15 s */
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
