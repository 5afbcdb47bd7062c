/** Completions of a command line. As in the original, the last argument asks for the completions. Pure. */
import type { Command } from './command';
import type { FlagSpec } from './flags';

/** Completion scripts append this flag to an unfinished command line. The original's scripts do so, too. */
export const COMPLETION_FLAG = '--generate-bash-completion';

const HELP: FlagSpec = { name: 'help', aliases: ['h'], kind: 'bool', usage: 'show help' };

/** A flag as the user types it: one dash for names of one letter, otherwise two. */
export function dashed(name: string): string {
  return name.length > 1 ? `--${name}` : `-${name}`;
}

/** The flags that complete `word`. Flags that are already on the line are left out. */
function flagsFor(command: Command, word: string, words: readonly string[]): string[] {
  const typed = word.replace(/^--?/, '');
  const given = new Set(words.filter((other) => other.startsWith('-')).map((other) => other.replace(/^--?/, '')));
  return [...(command.flags ?? []), HELP]
    .flatMap(({ name, aliases = [] }) => [name, ...aliases])
    .filter((name) => name.startsWith(typed) && !given.has(name))
    .filter((name) => name.length > 1 || !word.startsWith('--'))
    .map(dashed);
}

/**
 * Returns one completion per line for `ol …words COMPLETION_FLAG`; undefined for a passthrough command, which completes
 * its own arguments.
 * @param withUsage appends `:usage` to subcommands, for zsh
 */
export function completions(root: Command, words: readonly string[], withUsage = false): string | undefined {
  let command = root;
  for (const word of words) {
    if (command.commands === undefined) break;
    command = command.commands.find(({ name }) => name === word) ?? command;
  }
  if (command.passthrough === true) return undefined;
  const last = words.at(-1) ?? '';
  const lines = last.startsWith('-')
    ? flagsFor(command, last, words)
    : (command.commands ?? []).map(({ name, usage }) => (withUsage ? `${name}:${usage}` : name));
  if (!last.startsWith('-') && command.commands !== undefined) lines.push(withUsage ? `help:${HELP.usage}` : 'help');
  return lines.map((line) => `${line}\n`).join('');
}
