/**
 * Reads a requirements.txt in pip's own format, for the resolver. It joins continued lines, and follows `-r` and `-c`
 * within the function's folder. It refuses settings that a function may not choose, such as the index. The resolver
 * parses the requirements themselves (ranges, extras, markers, hashes), since it implements PEP 508. The format:
 * https://pip.pypa.io/en/stable/reference/requirements-file-format/
 */
import { posix } from 'node:path';
import { ArgyleError } from '../../errors';
import { FaultList } from './faults';
import { splitHashes } from './hashes';
import { normalizeLine, normalizeName, normalizeVersion } from '../../config/package-names';
import { MAX_REQUIREMENTS, parseSpec } from './requirements';

/** Maximum number of files of one requirements.txt, including itself. */
const MAX_FILES = 50;
/** Longest requirement without hashes, characters. Markers can be long. */
const MAX_LENGTH = 1000;

/** Returns a file of the function's folder; undefined when it is missing. */
export type ReadFile = (name: string) => Promise<string | undefined>;

/** A requirements.txt with all included files. */
export interface RequirementsInput {
  /** One requirement per entry, followed by options such as `--hash`. */
  requirements: string[];
  constraints: string[];
  /**
   * pip's hash-checking mode: --require-hashes, or any requirement with a hash. Every pin must then have a given hash.
   */
  hashed: boolean;
}

/**
 * Reads `file` and its included files.
 * @throws ArgyleError REQUIREMENT_INVALID with file, line and value of every bad line
 */
export async function readRequirements(read: ReadFile, file: string): Promise<RequirementsInput> {
  const input: RequirementsInput = { requirements: [], constraints: [], hashed: false };
  const seen = new Set<string>();
  const places: Place[] = [];
  const faults = new FaultList();
  let lines = 0;
  /** The files that include the current one, outermost first. */
  const open: string[] = [];
  const visit = async (name: string, into: string[], from?: string): Promise<void> => {
    // As in pip, a file must not include itself, even through other files. A file that two others include is read once.
    if (open.includes(name)) throw invalid(from ?? name, name, `a circle: ${[...open, name].join(' includes ')}`);
    if (seen.has(name)) return;
    seen.add(name);
    open.push(name);
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
    open.pop();
  };
  await visit(file, input.requirements);
  faults.check(() => {
    refuseTwoPins(places);
  });
  faults.throwIfAny();
  input.hashed ||= input.requirements.some((line) => line.includes('--hash'));
  return input;
}

/** A logical line and its first line number. */
interface Place {
  code: string;
  where: string;
}

/** Refuses two versions of a package when no marker can select one. @throws ArgyleError REQUIREMENT_INVALID */
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

/** Lines without comments. Continued lines are joined. */
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
  // As in pip, a comment begins at the line's start or after a blank, since URLs may contain `#`.
  return found
    .map(({ code, where }) => ({ code: code.replace(/(^|\s)#.*$/, '').trim(), where }))
    .filter(({ code }) => code !== '');
}

/** A requirement line in the resolver's form. @throws ArgyleError REQUIREMENT_INVALID */
function accepted(code: string, where: string): string {
  if (code.startsWith('-')) throw invalid(where, code, whyNot(code));
  if (/[^\x20-\x7e\t]/.test(code)) throw invalid(where, code, 'it has control or non-ASCII characters');
  const { requirement, fault } = splitHashes(code);
  if (fault !== undefined) throw invalid(where, code, fault);
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

/** The path of an included file within the folder. @throws ArgyleError REQUIREMENT_INVALID */
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
