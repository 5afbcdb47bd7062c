/** `ol zygote`: shows zygotes, fits trees, compares policies. */
import type { Command } from '../command';
import { fitCommand } from './fit';
import { showCommand } from './show';
import { simulateCommand } from './simulate';

export const zygoteCommand: Command = {
  name: 'zygote',
  usage: 'look at pre-imported packages and the policies that choose them',
  commands: [showCommand, fitCommand, simulateCommand],
};
