/** Parses flags as Go does: `-p x`, `--p=x`, `-d`, `-d=false`, all before the first positional. Pure. */
import { closest } from './closest';

export interface FlagSpec {
  /** Name without dashes. `-name` and `--name` are equal. */
  name: string;
  aliases?: readonly string[];
  kind: 'string' | 'bool';
  /** Default value; '' when undefined, which means false for a bool. */
  value?: string;
  usage: string;
}

export class Flags {
  constructor(private readonly values: ReadonlyMap<string, string | boolean>) {}

  /** The value of a string flag, or its default. */
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
  /** All arguments from the first positional on, including flags after it. */
  args: string[];
  /** True for `-h` and `--help`. */
  help: boolean;
}

/** A malformed command line. The CLI prints the error with the command's help and exits with 1. */
export class FlagError extends Error {}

const TRUE = ['1', 't', 'T', 'TRUE', 'true', 'True'];
const FALSE = ['0', 'f', 'F', 'FALSE', 'false', 'False'];

function parseBool(name: string, text: string): boolean {
  if (TRUE.includes(text)) return true;
  if (FALSE.includes(text)) return false;
  throw new FlagError(`invalid boolean value ${JSON.stringify(text)} for -${name}: parse error`);
}

/** A suggestion for a misspelt flag, to append to an error; '' when no name in `specs` is close. */
function suggestion(name: string, specs: readonly FlagSpec[]): string {
  const meant = closest(
    name,
    specs.flatMap((spec) => [spec.name, ...(spec.aliases ?? [])]),
  );
  return meant === undefined ? '' : `; did you mean -${meant}?`;
}

/**
 * Parses `argv` (without program and command names) against `specs`. Parsing ends at the first argument that is not a
 * flag, at a single `-`, or after `--`. The last of several equal flags wins.
 * @param interspersed flags may also follow positionals, up to `--`
 * @throws FlagError for unknown flags, missing values and bad booleans
 */
export function parseFlags(specs: readonly FlagSpec[], argv: readonly string[], interspersed = false): Parsed {
  const values = new Map<string, string | boolean>();
  for (const spec of specs) values.set(spec.name, spec.kind === 'bool' ? spec.value === 'true' : (spec.value ?? ''));
  let help = false;
  let at = 0;
  const positionals: string[] = [];
  for (; at < argv.length; at++) {
    const arg = argv[at] ?? '';
    if (arg === '--') {
      at++;
      break;
    }
    if (!arg.startsWith('-') || arg === '-') {
      if (!interspersed) break;
      positionals.push(arg);
      continue;
    }
    const body = arg.startsWith('--') ? arg.slice(2) : arg.slice(1);
    if (body === '' || body.startsWith('-') || body.startsWith('=')) throw new FlagError(`bad flag syntax: ${arg}`);
    const equals = body.indexOf('=');
    const name = equals < 0 ? body : body.slice(0, equals);
    const inline = equals < 0 ? undefined : body.slice(equals + 1);
    const spec = specs.find((s) => s.name === name || (s.aliases ?? []).includes(name));
    if (spec === undefined) {
      if (name !== 'h' && name !== 'help') {
        throw new FlagError(`flag provided but not defined: -${name}${suggestion(name, specs)}`);
      }
      help = inline === undefined || parseBool(name, inline);
    } else if (spec.kind === 'bool') {
      values.set(spec.name, inline === undefined || parseBool(name, inline));
    } else {
      const value = inline ?? argv[++at];
      if (value === undefined) throw new FlagError(`flag needs an argument: -${name}`);
      values.set(spec.name, value);
    }
  }
  return { flags: new Flags(values), args: [...positionals, ...argv.slice(at)], help };
}
