/**
 * Reads a requirements.txt in pip's own format for the resolver: joins continued lines, follows `-r` and `-c` within the
 * function's folder, and refuses what a function may not decide, such as the index. What the requirements themselves say
 * (ranges, extras, markers, hashes) is left to the resolver, which knows PEP 508.
 * The format: https://pip.pypa.io/en/stable/reference/requirements-file-format/
 */
import { posix } from 'node:path';
import { ArgyleError } from '../errors';
import { Faults } from './faults';
import { MAX_REQUIREMENTS, normalizeLine, normalizeName, normalizeVersion, parseSpec } from './requirements';

/** Most files that one requirements.txt may include, itself counted. */
const MAX_FILES = 50;
/** Longest requirement without its hashes: markers can be long, names cannot. */
const MAX_LENGTH = 1000;

/** Returns a file of the function's folder, undefined when there is none. */
export type ReadFile = (name: string) => Promise<string | undefined>;

/** A requirements.txt with everything that it includes. */
export interface RequirementsInput {
  /** One requirement a line, options such as `--hash` behind it. */
  requirements: string[];
  constraints: string[];
  /** Whether any requirement carries a hash: then every pin must, as for pip. */
  hashed: boolean;
}

/**
 * Reads `file` and what it includes.
 * @throws ArgyleError REQUIREMENT_INVALID, naming file, line and value of every line at fault
 */
export async function readRequirements(read: ReadFile, file: string): Promise<RequirementsInput> {
  const input: RequirementsInput = { requirements: [], constraints: [], hashed: false };
  const seen = new Set<string>();
  const places: Place[] = [];
  const faults = new Faults();
  let lines = 0;
  const visit = async (name: string, into: string[], from?: string): Promise<void> => {
    if (seen.has(name)) return;
    seen.add(name);
    if (seen.size > MAX_FILES) throw invalid(from ?? name, name, `more than ${MAX_FILES} files are included`);
    const text = await read(name);
    if (text === undefined) throw invalid(from ?? name, name, 'there is no such file in the folder of the function');
    for (const { code, where } of logicalLines(text, name)) {
      if (++lines > MAX_REQUIREMENTS) throw invalid(where, code, `more than ${MAX_REQUIREMENTS} packages`);
      const [, short, long, value = ''] = /^(?:-([a-zA-Z])|--([a-z-]+))(?:\s+|=)?(.*)$/.exec(code) ?? [];
      const option = short ?? long;
      if (option === undefined) {
        faults.check(() => into.push(accepted(code, where)));
        places.push({ code, where });
      } else if (option === 'r' || option === 'requirement') await visit(below(name, value, where), into, where);
      else if (option === 'c' || option === 'constraint')
        await visit(below(name, value, where), input.constraints, where);
      else if (option === 'require-hashes') input.hashed = true;
      else
        faults.check(() => {
          throw invalid(where, code, whyNot(option));
        });
    }
  };
  await visit(file, input.requirements);
  faults.check(() => {
    refuseTwoPins(places);
  });
  faults.throwIfAny();
  input.hashed ||= input.requirements.some((line) => line.includes('--hash'));
  return input;
}

/** A logical line, and where it begins. */
interface Place {
  code: string;
  where: string;
}

/** Two versions of a package, where no marker can choose between them. @throws ArgyleError REQUIREMENT_INVALID */
function refuseTwoPins(places: readonly Place[]): void {
  const pins = new Map<string, Place & { version: string }>();
  for (const { code, where } of places) {
    const [, name, version] =
      /^([A-Za-z0-9._-]+)\s*(?:\[[^\]]*\])?\s*==\s*([^\s,;*]+)(?:\s+--hash.*)?$/.exec(code) ?? [];
    if (name === undefined || version === undefined) continue;
    const before = pins.get(normalizeName(name));
    if (before !== undefined && normalizeVersion(before.version) !== normalizeVersion(version)) {
      throw invalid(where, code, `${before.where} asks for ${JSON.stringify(before.code)}; keep one of them`);
    }
    pins.set(normalizeName(name), { code, where, version });
  }
}

/** Lines without comments, continued ones joined. */
function logicalLines(text: string, file: string): Place[] {
  const found: Place[] = [];
  let open: Place | undefined;
  text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .forEach((line, index) => {
      const current: Place = open ?? { code: '', where: `${file} line ${index + 1}` };
      const continued = line.endsWith('\\') && !/^\s*#/.test(line);
      current.code += continued ? line.slice(0, -1) : line;
      open = continued ? current : undefined;
      if (!continued) found.push(current);
    });
  if (open !== undefined) found.push(open);
  // pip: a comment begins at the line's start or behind a blank, so that URLs may hold a `#`.
  return found
    .map(({ code, where }) => ({ code: code.replace(/(^|\s)#.*$/, '').trim(), where }))
    .filter(({ code }) => code !== '');
}

/** A requirement line as it goes to the resolver. @throws ArgyleError REQUIREMENT_INVALID */
function accepted(code: string, where: string): string {
  if (code.startsWith('-')) throw invalid(where, code, whyNot(code));
  if (/[^\x20-\x7e\t]/.test(code)) throw invalid(where, code, 'it has control or non-ASCII characters');
  const [requirement = ''] = code.split(/\s--hash/);
  if (requirement.length > MAX_LENGTH) throw invalid(where, code, `it is longer than ${MAX_LENGTH} characters`);
  const [named = ''] = requirement.split(';');
  if (/[/\\]|^\.|:\/\/|\.(whl|zip|tar\.gz)$/.test(named.trim()) || named.includes('@')) {
    throw invalid(where, code, 'paths and URLs are not allowed, only packages by name');
  }
  const [, name, version] = /^([A-Za-z0-9._-]+(?:\s*\[[^\]]*\])?)\s+(\d[^\s,;]*)$/.exec(named.trim()) ?? [];
  if (name !== undefined) throw invalid(where, code, `expected an operator: ${name}==${version ?? ''}`);
  if (/[A-Za-z0-9.\]_-]\s+[A-Za-z0-9]/.test(named)) throw invalid(where, code, 'expected one package a line');
  parseSpec(normalizeLine(named.replace(/[()]/g, '')), where);
  const marker = requirement.slice(named.length + 1);
  if (requirement.includes(';') && !/[<>=!~]|\bin\b/.test(marker)) {
    throw invalid(where, code, 'expected an environment marker, like python_version >= "3.9"');
  }
  return code;
}

/** An included file's name within the folder. @throws ArgyleError REQUIREMENT_INVALID */
function below(including: string, value: string, where: string): string {
  const name = posix.normalize(posix.join(posix.dirname(including), value.trim().replace(/^(['"])(.*)\1$/, '$2')));
  const outside =
    value.trim() === '' || value.includes('://') || posix.isAbsolute(value.trim()) || /^\.\.(\/|$)/.test(name);
  if (outside) throw invalid(where, value, 'only files in the folder of the function can be included');
  return name;
}

function whyNot(option: string): string {
  const index = ['i', 'index-url', 'extra-index-url', 'f', 'find-links', 'no-index', 'trusted-host'];
  if (index.includes(option)) {
    return "a function cannot choose the index; the worker takes it from pip_mirror or the host's pip configuration";
  }
  if (option === 'e' || option === 'editable') return 'paths are not allowed, only packages by name';
  return 'this option is not supported; only -r, -c, --hash and --require-hashes are';
}

function invalid(where: string, value: string, reason: string): ArgyleError {
  const shown = value.length > 100 ? `${value.slice(0, 100)}…` : value;
  const options = { field: where, value: value.slice(0, 200) };
  return new ArgyleError('REQUIREMENT_INVALID', `${where}: ${JSON.stringify(shown)} is refused: ${reason}`, options);
}
