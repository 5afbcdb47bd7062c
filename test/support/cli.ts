/** Runs CLI commands in the test process and captures their output. */
import { dispatch } from '../../src/cli/command';
import type { Command } from '../../src/cli/command';
import { olCommand } from '../../src/cli';
import type { Services } from '../../src/cli/services';

export interface CliRun {
  code: number;
  out: string;
  err: string;
}

const NO_SERVICES: Services = {
  startWorker: () => Promise.reject(new Error('this test starts no worker')),
  cleanupLeftovers: () => Promise.resolve(),
};

/** Runs `ol …argv` in `cwd`. The default services start nothing. */
export async function runOl(
  argv: string[],
  options: { cwd: string; command?: Command; services?: Partial<Services>; env?: NodeJS.ProcessEnv },
): Promise<CliRun> {
  const run: CliRun = { code: -1, out: '', err: '' };
  run.code = await dispatch(options.command ?? olCommand, argv, {
    cwd: options.cwd,
    self: [process.execPath, 'bin/ol'],
    env: options.env ?? {},
    services: { ...NO_SERVICES, ...options.services },
    out: (text) => {
      run.out += text;
    },
    err: (text) => {
      run.err += text;
    },
  });
  return run;
}
