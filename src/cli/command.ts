/** Commands, groups of them, their help, and the walk from argv to the one that runs. */
import { asArgyleError } from '../errors';
import { COMPLETION_FLAG, completions, dashed } from './complete';
import { FlagError, parseFlags, type Flags, type FlagSpec } from './flags';
import type { Services } from './services';

export interface CommandContext {
  flags: Flags;
  args: string[];
  /** Working directory of the caller. */
  cwd: string;
  /** Program and arguments that start this CLI again, e.g. [node, bin/ol]. */
  self: readonly string[];
  env: NodeJS.ProcessEnv;
  services: Services;
  out: (text: string) => void;
  err: (text: string) => void;
}

export interface Command {
  name: string;
  /** Further names, which neither help nor completion shows. */
  aliases?: readonly string[];
  usage: string;
  /** What stands behind the flags in the help, e.g. `DIR`. */
  argsUsage?: string;
  flags?: readonly FlagSpec[];
  /** Every argument goes to run(), flags too. */
  passthrough?: boolean;
  /** Resolves with the exit code; a thrown error is printed and becomes 1. */
  run?(context: CommandContext): Promise<number>;
  /** Makes it a group: the next argument names one of these. */
  commands?: readonly Command[];
}

/** Exit codes of the contract. `panic` is Go's: the original's benchmarks end so when too many calls fail. */
export const EXIT = { ok: 0, error: 1, panic: 2, unknown: 3 } as const;

/** A failure that the message tells all about; printed on stderr, exit code 1 unless `exitCode` says otherwise. */
export class CliError extends Error {
  readonly exitCode: number;

  constructor(message: string, options: ErrorOptions & { exitCode?: number } = {}) {
    super(message, options);
    this.exitCode = options.exitCode ?? EXIT.error;
  }
}

/** The subcommand that a word names. */
function subcommand(command: Command, name: string | undefined): Command | undefined {
  if (name === undefined) return undefined;
  return command.commands?.find((c) => c.name === name || c.aliases?.includes(name) === true);
}

/** What the caller's process gives to a command. */
export type Environment = Omit<CommandContext, 'flags' | 'args'>;

function flagLine(spec: FlagSpec): string {
  const names = [spec.name, ...(spec.aliases ?? [])].map(dashed);
  const value = spec.kind === 'string' ? ' value' : '';
  const fallback = spec.value === undefined || spec.value === '' ? '' : ` (default: "${spec.value}")`;
  return `   ${names.map((name) => name + value).join(', ')}  ${spec.usage}${fallback}\n`;
}

/** The help of a command or group, called as `path` (e.g. `ol worker up`). */
export function helpText(command: Command, path: string): string {
  const commands = command.commands ?? [];
  const flags = command.flags ?? [];
  const width = Math.max(...commands.map((c) => c.name.length), 0);
  const shape = [path, flags.length > 0 ? '[flags]' : '', commands.length > 0 ? 'command' : (command.argsUsage ?? '')];
  return [
    `NAME:\n   ${path} - ${command.usage}\n\nUSAGE:\n   ${shape.filter((part) => part !== '').join(' ')}\n`,
    commands.length > 0
      ? `\nCOMMANDS:\n${commands.map((c) => `   ${c.name.padEnd(width)}  ${c.usage}\n`).join('')}`
      : '',
    flags.length > 0 ? `\nFLAGS:\n${flags.map(flagLine).join('')}` : '',
  ].join('');
}

function printError(thrown: unknown, environment: Environment): void {
  const { message, field, value } = asArgyleError('CONFIG_INVALID', thrown);
  environment.err(`${message}\n`);
  if (field !== undefined && field !== '') environment.err(`  ${field} = ${value ?? ''}\n`);
}

/**
 * Runs the command that `argv` names below `command` and resolves with the exit code: that of the command, 0 for help,
 * 1 for errors (told on stderr), 3 for a command that does not exist. With COMPLETION_FLAG at the end it prints what may
 * follow the other words instead.
 */
export async function dispatch(
  command: Command,
  argv: readonly string[],
  environment: Environment,
  path = command.name,
): Promise<number> {
  try {
    if (path === command.name && argv.at(-1) === COMPLETION_FLAG) {
      const text = completions(command, argv.slice(0, -1), environment.env['_CLI_ZSH_AUTOCOMPLETE_HACK'] === '1');
      if (text !== undefined) {
        environment.out(text);
        return EXIT.ok;
      }
    }
    const parsed = parseFlags(command.flags ?? [], command.passthrough === true ? ['--', ...argv] : argv);
    const { flags, args, help } = parsed;
    const [name, ...rest] = args;
    const next = subcommand(command, name);
    if (!help && next !== undefined) return await dispatch(next, rest, environment, `${path} ${next.name}`);
    if (help || (command.commands !== undefined && (name === undefined || name === 'help' || name === 'h'))) {
      const topic = subcommand(command, rest[0]);
      environment.out(topic === undefined ? helpText(command, path) : helpText(topic, `${path} ${topic.name}`));
      return EXIT.ok;
    }
    if (command.run === undefined) {
      environment.err(`No help topic for '${name ?? ''}'\n\n${helpText(command, path)}`);
      return EXIT.unknown;
    }
    return await command.run({ ...environment, flags, args });
  } catch (thrown) {
    if (thrown instanceof FlagError)
      environment.err(`Incorrect Usage: ${thrown.message}\n\n${helpText(command, path)}`);
    else printError(thrown, environment);
    return thrown instanceof CliError ? thrown.exitCode : EXIT.error;
  }
}
