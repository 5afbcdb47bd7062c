/** The composition root: the only module that connects the CLI to the worker's layers. */
import { olCommand } from './cli';
import { dispatch } from './cli/command';
import type { Services } from './cli/services';
import { InterruptBudget } from './compose/warmup/v8';
import { createLog } from './log';

/** Loads the worker's code when a worker starts. Short commands load neither Express nor FFI. */
const SERVICES: Services = {
  startWorker: async (config, log, old) => {
    const budget = new InterruptBudget();
    const { missing } = budget;
    if (missing.length > 0) {
      log.logger.info(
        { node: process.version, options: missing },
        'this Node lacks V8 options that shorten the warm-up',
      );
    }
    budget.setEager(false);
    return (await import('./compose/worker.js')).startWorker(config, log, budget, old);
  },
  cleanupLeftovers: async (config) =>
    (await import('./compose/worker.js')).cleanupLeftovers(config, createLog({ stream: process.stderr })),
};

/** Runs `ol`. @param argv arguments after the program's name @param script the file that was started */
export async function main(argv: readonly string[], script: string): Promise<void> {
  const code = await dispatch(olCommand, argv, {
    cwd: process.cwd(),
    self: [process.execPath, ...process.execArgv, script],
    env: process.env,
    services: SERVICES,
    out: (text) => process.stdout.write(text),
    err: (text) => process.stderr.write(text),
  });
  process.exit(code);
}
