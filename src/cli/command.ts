/** Commands, groups of commands, their help, and the dispatch from argv to a command. */
import { asArgyleError } from '../errors';
import { closest } from './closest';
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
  /** Further names. Help and completion do not show them. */
  aliases?: readonly string[];
  usage: string;
  /** The arguments after the flags in the help, e.g. `DIR`. */
  argsUsage?: string;
  flags?: readonly FlagSpec[];
  /** Flags may follow arguments. POLICY: only for commands that the original lacks. */
  interspersed?: boolean;
  /** Passes all arguments to run(), including flags. */
  passthrough?: boolean;
  /** Resolves with the exit code. A thrown error is printed; the exit code is then 1. */
  run?(context: CommandContext): Promise<number>;
  /** Subcommands; makes this command a group. */
  commands?: readonly Command[];
}

/** Exit codes of the contract. `panic` is Go's: the original's benchmarks panic when too many calls fail. */
export const EXIT = { ok: 0, error: 1, panic: 2, unknown: 3 } as const;

/** A failure whose message is complete. It is printed on stderr; the exit code is 1 unless `exitCode` is given. */
export class CliError extends Error {
  readonly exitCode: number;

  constructor(message: string, options: ErrorOptions & { exitCode?: number } = {}) {
    super(message, options);
    this.exitCode = options.exitCode ?? EXIT.error;
  }
}

/** The subcommand with this name. */
function subcommand(command: Command, name: string | undefined): Command | undefined {
  if (name === undefined) return undefined;
  return command.commands?.find((c) => c.name === name || c.aliases?.includes(name) === true);
}

/** The process's context for a command. */
export type Environment = Omit<CommandContext, 'flags' | 'args'>;

function flagLine(spec: FlagSpec): string {
  const names = [spec.name, ...(spec.aliases ?? [])].map(dashed);
  const value = spec.kind === 'string' ? ' value' : '';
  const fallback = spec.value === undefined || spec.value === '' ? '' : ` (default: "${spec.value}")`;
  return `   ${names.map((name) => name + value).join(', ')}  ${spec.usage}${fallback}\n`;
}

/** The help of a command or group. `path` is the full command, e.g. `ol worker up`. */
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
 * Runs the command that `argv` names below `command` and resolves with the exit code. The code is the command's own, 0
 * for help, 1 for errors (printed on stderr), and 3 for an unknown command. If `argv` ends with COMPLETION_FLAG, prints
 * the completions of the other words instead.
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
    const parsed = parseFlags(
      command.flags ?? [],
      command.passthrough === true ? ['--', ...argv] : argv,
      command.interspersed,
    );
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
      const meant = closest(name ?? '', command.commands?.map((c) => c.name) ?? []);
      const hint = meant === undefined ? '' : `Did you mean '${path} ${meant}'?\n`;
      environment.err(`No help topic for '${name ?? ''}'\n${hint}\n${helpText(command, path)}`);
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
