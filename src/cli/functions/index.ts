/** Commands about functions. */
import type { Command } from '../command';
import { devCommand } from '../dev';
import { invokeCommand } from './invoke';
import { describeCommand, lsCommand, rmCommand } from './list';
import { newCommand } from './new';
import { topCommand } from './top';

export const functionCommands: readonly Command[] = [
  newCommand,
  devCommand,
  lsCommand,
  invokeCommand,
  describeCommand,
  rmCommand,
  topCommand,
];
