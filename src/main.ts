/** The one composition root: what the CLI is given, and the process that it runs in. */
import { olCommand } from './cli';
import { dispatch } from './cli/command';
import type { Services } from './cli/services';
import { Eagerness, knownOptions, runtimeThreads, tuneRuntime } from './compose/runtime';
import { createLog } from './log';

/** Loaded only when a worker starts, so that short commands need neither Express nor FFI. */
const servicesIn = (threads: readonly number[]): Services => ({
  startWorker: async (config, log) => {
    tuneRuntime(threads);
    const eagerness = new Eagerness(await knownOptions());
    const { missing } = eagerness;
    if (missing.length > 0) {
      log.logger.info(
        { node: process.version, options: missing },
        'this Node lacks options that make new workers fast',
      );
    }
    eagerness.optimizeEagerly(false);
    return (await import('./compose/worker.js')).startWorker(config, log, eagerness);
  },
  cleanupLeftovers: async (config) =>
    (await import('./compose/worker.js')).cleanupLeftovers(config, createLog({ stream: process.stderr })),
});

/** Runs `ol` with the arguments behind the program's name; `script` is the file that was started. */
export async function main(argv: readonly string[], script: string): Promise<void> {
  const services = servicesIn(runtimeThreads());
  const code = await dispatch(olCommand, argv, {
    cwd: process.cwd(),
    self: [process.execPath, ...process.execArgv, script],
    env: process.env,
    services,
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
  });
  process.exit(code);
}
