/** `ol bench`: the original's benchmarks, with the same names and the same result line. */
import type { Command } from '../command';
import { initCommand } from './init';
import { playCommand } from './play';
import { benchmarkCommand } from './run';
import { BENCHMARKS } from './table';

export const benchCommand: Command = {
  name: 'bench',
  usage: 'measure a running worker',
  commands: [initCommand, playCommand, ...BENCHMARKS.map(benchmarkCommand)],
};
