/** The table of commands. A new group is one line here and one folder beside this file. */
import { adminCommand } from './admin/install';
import { benchCommand } from './bench';
import { bossCommand } from './boss';
import type { Command } from './command';
import { pprofCommand } from './pprof';
import { workerCommand } from './worker';
import { zygoteCommand } from './zygote';

export const olCommand: Command = {
  name: 'ol',
  usage: 'serverless functions in lean containers',
  commands: [workerCommand, adminCommand, pprofCommand, zygoteCommand, benchCommand, bossCommand],
};
