/** Builds the sample packages and serves them: `--port N --host ADDRESS --build-dir DIR --build-only`. */
import { parseArgs } from 'node:util';
import { buildPackages, DEFAULT_BUILD_DIR } from './builder';
import { startMirror } from './server';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '0' },
      host: { type: 'string', default: '127.0.0.1' },
      'build-dir': { type: 'string', default: DEFAULT_BUILD_DIR },
      'build-only': { type: 'boolean', default: false },
    },
  });
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw new Error(`--port: not a port: '${values.port}'`);
  const dir = await buildPackages(values['build-dir']);
  if (values['build-only']) return;
  const mirror = await startMirror({ dir, host: values.host, port });
  // The first line of the output. Callers read the URL from it.
  process.stdout.write(`${mirror.url}\n`);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void mirror.close());
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
