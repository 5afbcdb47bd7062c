/** What a shell may complete a command line with: the last argument asks for it, as with the original. Pure. */
import type { Command } from './command';
import type { FlagSpec } from './flags';

/** Put behind the words of an unfinished command line by completion scripts, those of the original among them. */
export const COMPLETION_FLAG = '--generate-bash-completion';

const HELP: FlagSpec = { name: 'help', aliases: ['h'], kind: 'bool', usage: 'show help' };

/** How a flag is written: names of one letter with one dash. */
export function dashed(name: string): string {
  return name.length > 1 ? `--${name}` : `-${name}`;
}

/** The flags that may stand where `word` is being typed; one that the line has already is not offered again. */
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
 * One completion a line for `ol …words COMPLETION_FLAG`; undefined when the words lead to a command that takes all its
 * arguments itself, and answers for itself.
 * @param withUsage puts `:usage` behind subcommands, for zsh
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
