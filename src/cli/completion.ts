/** `ol completion`: prints the completion script of a shell. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { onlyArgument } from './ask';
import { CliError, EXIT, type Command } from './command';
import { HOME } from './paths';

/** How each shell loads the script. */
const SHELLS: Readonly<Record<string, string>> = {
  bash: 'source <(ol completion bash)',
  zsh: 'source <(ol completion zsh)',
  fish: 'ol completion fish | source',
};

export const completionCommand: Command = {
  name: 'completion',
  usage: 'print the completion script of a shell',
  argsUsage: 'bash | zsh | fish',
  run: ({ args, out }) => {
    const shell = onlyArgument(args, 'shell');
    if (!Object.hasOwn(SHELLS, shell)) {
      throw new CliError(`there is no completion for ${shell}; there is one for ${Object.keys(SHELLS).join(', ')}`);
    }
    const script = readFileSync(join(HOME, 'configs/completion', `ol.${shell}`), 'utf8');
    out(`# To use it: ${SHELLS[shell] ?? ''}\n${script}`);
    return Promise.resolve(EXIT.ok);
  },
};
