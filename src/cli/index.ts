/** The table of commands. A new group needs one line here and one folder beside this file. */
import { adminCommand } from './admin/install';
import { benchCommand } from './bench';
import { bossCommand } from './boss';
import type { Command } from './command';
import { completionCommand } from './completion';
import { doctorCommand } from './doctor';
import { functionCommands } from './functions';
import { logsCommand } from './logs';
import { pprofCommand } from './pprof';
import { secretCommand } from './secret';
import { versionCommand } from './version';
import { workerCommand } from './worker';
import { zygoteCommand } from './zygote';

export const olCommand: Command = {
  name: 'ol',
  usage: 'serverless functions in lean containers',
  commands: [
    workerCommand,
    adminCommand,
    ...functionCommands,
    logsCommand,
    secretCommand,
    pprofCommand,
    zygoteCommand,
    benchCommand,
    bossCommand,
    doctorCommand,
    completionCommand,
    versionCommand,
  ],
};
