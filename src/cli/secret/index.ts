/** `ol secret`: manages the secrets that a worker's functions may use. */
import type { Command } from '../command';
import { listCommand, removeCommand } from './list';
import { setCommand } from './set';

export const secretCommand: Command = {
  name: 'secret',
  usage: 'passwords and keys that functions get in their environment',
  commands: [setCommand, listCommand, removeCommand],
};
