import type { Command } from '../command';
import { baseCommand } from './bases/bases';
import { checkConfigCommand } from './check-config';
import { initCommand } from './init';
import { downCommand, forceCleanupCommand, statusCommand } from './status';
import { upCommand } from './up';

export const workerCommand: Command = {
  name: 'worker',
  usage: 'manage a worker on this machine',
  commands: [initCommand, upCommand, downCommand, statusCommand, forceCleanupCommand, checkConfigCommand, baseCommand],
};
