/** Command line flags in Go's manner: `-p x`, `--p=x`, `-d`, `-d=false`, all before the first positional. Pure. */

export interface FlagSpec {
  /** Without dashes; `-name` and `--name` mean the same. */
  name: string;
  aliases?: readonly string[];
  kind: 'string' | 'bool';
  /** Value of an absent flag; '' when not given, which is false for a bool. */
  value?: string;
  usage: string;
}

/** The values of a command's flags, by name. */
export class Flags {
  constructor(private readonly values: ReadonlyMap<string, string | boolean>) {}

  /** The value of a string flag, its default when it was not given. */
  string(name: string): string {
    const value = this.values.get(name);
    return typeof value === 'string' ? value : '';
  }

  bool(name: string): boolean {
    return this.values.get(name) === true;
  }
}

export interface Parsed {
  flags: Flags;
  /** Everything from the first positional on, flags behind it included. */
  args: string[];
  /** `-h`, `--help`. */
  help: boolean;
}

/** A malformed command line; the CLI prints it with the command's help and exits with 1. */
export class FlagError extends Error {}

const TRUE = ['1', 't', 'T', 'TRUE', 'true', 'True'];
const FALSE = ['0', 'f', 'F', 'FALSE', 'false', 'False'];

function parseBool(name: string, text: string): boolean {
  if (TRUE.includes(text)) return true;
  if (FALSE.includes(text)) return false;
  throw new FlagError(`invalid boolean value ${JSON.stringify(text)} for -${name}: parse error`);
}

/**
 * Parses `argv` (without program and command names) against `specs`.
 * Parsing ends at the first argument that is no flag, at a single `-`, or after `--`. The last of several equal flags
 * counts. Throws FlagError for unknown flags, missing values and bad booleans.
 */
export function parseFlags(specs: readonly FlagSpec[], argv: readonly string[]): Parsed {
  const values = new Map<string, string | boolean>();
  for (const spec of specs) values.set(spec.name, spec.kind === 'bool' ? spec.value === 'true' : (spec.value ?? ''));
  let help = false;
  let at = 0;
  for (; at < argv.length; at++) {
    const arg = argv[at] ?? '';
    if (arg === '--') {
      at++;
      break;
    }
    if (!arg.startsWith('-') || arg === '-') break;
    const body = arg.startsWith('--') ? arg.slice(2) : arg.slice(1);
    if (body === '' || body.startsWith('-') || body.startsWith('=')) throw new FlagError(`bad flag syntax: ${arg}`);
    const equals = body.indexOf('=');
    const name = equals < 0 ? body : body.slice(0, equals);
    const inline = equals < 0 ? undefined : body.slice(equals + 1);
    const spec = specs.find((s) => s.name === name || (s.aliases ?? []).includes(name));
    if (spec === undefined) {
      if (name !== 'h' && name !== 'help') throw new FlagError(`flag provided but not defined: -${name}`);
      help = inline === undefined || parseBool(name, inline);
    } else if (spec.kind === 'bool') {
      values.set(spec.name, inline === undefined || parseBool(name, inline));
    } else {
      const value = inline ?? argv[++at];
      if (value === undefined) throw new FlagError(`flag needs an argument: -${name}`);
      values.set(spec.name, value);
    }
  }
  return { flags: new Flags(values), args: argv.slice(at), help };
}
