/**
 * Parses requirements.txt as the OpenLambda worker does: spaces removed, cut at `#`, lower case, `_` becomes `-`, and
 * each line that is left is a literal pip spec which also names the package's directory. Unlike the original, nothing
 * passes that could be an option of pip, a URL, or more than one component of a path.
 */
import { valid } from '@renovatebot/pep440';
import { ArgyleError } from '../errors';
import { Faults } from './faults';

/** Longest accepted spec: it names a directory, and the helper takes names of up to 199 bytes. */
export const MAX_SPEC_LENGTH = 180;
/** Most packages of one function: each is one entry on sys.path and one installer run. */
export const MAX_REQUIREMENTS = 1000;

export interface Requirement {
  /** The whole spec; names the directory below Pkgs_dir and is what pip is given. */
  readonly spec: string;
  /** Name in the form that PyPI compares (PEP 503): runs of `-`, `_` and `.` are one `-`. */
  readonly name: string;
  readonly extras: readonly string[];
  /** Version specifiers as written, e.g. `>=1.0,<2`; '' when there are none. */
  readonly specifier: string;
  /** The one version that `==` asks for, normalised; undefined for ranges and unpinned names. */
  readonly version: string | undefined;
}

const NAME = '[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?';
// PEP 440's operators, and any version text that is safe in a file name: epochs (!), local labels (+), wildcards (*).
const CLAUSE = '(?:===|~=|==|!=|<=|>=|<|>)[a-z0-9][a-z0-9.!+*-]*';
const SPEC = new RegExp(`^(${NAME})(?:\\[(${NAME}(?:,${NAME})*)\\])?(${CLAUSE}(?:,${CLAUSE})*)?$`);

/** Two words where PEP 508 has one name: `six 1.16.0`, `requests security`. */
const JOINED = /^ *([A-Za-z0-9][A-Za-z0-9._-]*(?:\[[^\]]*\])?) +([A-Za-z0-9]\S*) *\r?$/;

/** PEP 503: the one form in which names of packages are compared. */
export function normalizeName(name: string): string {
  return name.toLowerCase().replace(/[-_.]+/g, '-');
}

/** Applies the contract's rewriting to one line; '' when nothing is left of it. */
export function normalizeLine(line: string): string {
  const [code = ''] = line.split('#');
  return code.replaceAll(' ', '').trim().toLowerCase().replaceAll('_', '-');
}

/**
 * Parses one spec that has been through normalizeLine().
 * @param where named in the error, e.g. `requirements.txt line 3`
 * @throws ArgyleError REQUIREMENT_INVALID, naming `where` and the value
 */
export function parseSpec(spec: string, where: string): Requirement {
  const reason = refusal(spec);
  if (reason !== undefined) throw invalid(spec, where, reason);
  const [, name = '', extras, specifier = ''] = SPEC.exec(spec) ?? [];
  const pin = /^==([^=,*]+)$/.exec(specifier)?.[1];
  return {
    spec,
    name: normalizeName(name),
    extras: extras === undefined ? [] : extras.split(','),
    specifier,
    version: pin === undefined ? undefined : normalizeVersion(pin),
  };
}

/**
 * Parses a whole requirements.txt in the contract's form. A spec that stands there twice is returned once, at its first
 * place.
 * @throws ArgyleError REQUIREMENT_INVALID, naming number and value of every line at fault; for two versions of a package,
 *   both lines
 */
export function parseRequirements(text: string): Requirement[] {
  const bySpec = new Map<string, Requirement>();
  const pinnedAt = new Map<string, { where: string; requirement: Requirement }>();
  const faults = new Faults();
  text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .forEach((line, index) => {
      faults.check(() => {
        readLine(line, index);
      });
    });
  faults.throwIfAny();
  return [...bySpec.values()];

  function readLine(line: string, index: number): void {
    const spec = normalizeLine(line);
    if (spec === '' || bySpec.has(spec)) return;
    const where = `requirements.txt line ${index + 1}`;
    if (bySpec.size === MAX_REQUIREMENTS) throw invalid(spec, where, `more than ${MAX_REQUIREMENTS} packages`);
    const [, name, version] = JOINED.exec(line.split('#')[0] ?? '') ?? [];
    // Without its blank it would be the name of another package.
    if (name !== undefined && version !== undefined) {
      const like = `${name}==${/^\d/.test(version) ? version : 'VERSION'}`;
      throw invalid(line.trim(), where, `expected a name and perhaps versions, like ${like}`);
    }
    const requirement = parseSpec(spec, where);
    const other = pinnedAt.get(requirement.name);
    if (requirement.version !== undefined) {
      if (other !== undefined && other.requirement.version !== requirement.version) {
        throw invalid(
          spec,
          where,
          `${other.where} asks for ${JSON.stringify(other.requirement.spec)}; keep one of them`,
        );
      }
      pinnedAt.set(requirement.name, { where, requirement });
    }
    bySpec.set(spec, requirement);
  }
}

/** The list when it is in the contract's form and pins every package; undefined for any other. */
export function pinnedList(text: string): Requirement[] | undefined {
  try {
    const requirements = parseRequirements(text);
    return requirements.every(({ version }) => version !== undefined) ? requirements : undefined;
  } catch (thrown) {
    if (thrown instanceof ArgyleError) return undefined;
    throw thrown;
  }
}

/** Versions that PEP 440 calls equal get one form, as far as plain releases go: no leading v or zeros, no trailing .0 */
export function normalizeVersion(version: string): string {
  const [, release = '', rest = ''] = /^v?([0-9.!]*)(.*)$/.exec(version.toLowerCase()) ?? [];
  if (!/^(\d+!)?\d+(\.\d+)*$/.test(release)) return version.toLowerCase();
  const [epoch, numbers] = release.includes('!') ? release.split('!') : ['0', release];
  const parts = (numbers ?? '').split('.').map((part) => part.replace(/^0+(?=\d)/, ''));
  while (parts.length > 1 && parts.at(-1) === '0') parts.pop();
  return `${Number(epoch) === 0 ? '' : `${epoch}!`}${parts.join('.')}${rest}`;
}

/** Says why a spec is refused, most telling reason first; undefined when it is allowed. */
function refusal(spec: string): string | undefined {
  if (spec === '') return 'it is empty';
  if (spec.length > MAX_SPEC_LENGTH) return `it is longer than ${MAX_SPEC_LENGTH} characters`;
  if (/[^\x21-\x7e]/.test(spec)) return 'it has control or non-ASCII characters';
  if (spec.startsWith('-')) return 'options of pip are not allowed, only packages';
  if (spec.endsWith('\\')) return 'continued lines are not allowed';
  if (/[/\\:]/.test(spec)) return 'paths and URLs are not allowed, only packages by name';
  if (spec.includes('@')) return 'direct references are not allowed, only packages by name';
  // The rewriting of `_` breaks every marker's variables, so no function of the original can use one.
  if (spec.includes(';')) return 'environment markers are not allowed';
  if (spec.includes('..')) return "'..' is not allowed";
  const [, , , specifier] = SPEC.exec(spec) ?? [];
  if (!SPEC.test(spec)) return 'expected a name and perhaps versions, like numpy==2.1.0';
  const unfit = specifier?.split(',').find((clause) => !isClause(clause));
  return unfit === undefined ? undefined : `no version fits ${unfit} (PEP 440)`;
}

/** Whether pip can read a clause: its version is one by PEP 440, in a form that its operator takes. */
function isClause(clause: string): boolean {
  const [, operator = '', version = ''] = /^(===|~=|==|!=|<=|>=|<|>)(.*)$/.exec(clause) ?? [];
  if (operator === '===') return true;
  const wild = version.endsWith('.*');
  if (wild)
    return (
      (operator === '==' || operator === '!=') &&
      /^[0-9.!v]+$/.test(version.slice(0, -2)) &&
      isVersion(version.slice(0, -2))
    );
  if (version.includes('+') && operator !== '==' && operator !== '!=') return false;
  return isVersion(version) && (operator !== '~=' || /^v?(?:\d+!)?\d+\.\d/.test(version));
}

const isVersion = (text: string): boolean => valid(text) !== null;

function invalid(spec: string, where: string, reason: string): ArgyleError {
  const shown = JSON.stringify(spec.length > 100 ? `${spec.slice(0, 100)}…` : spec);
  const options = { field: where, value: spec.slice(0, MAX_SPEC_LENGTH) };
  return new ArgyleError('REQUIREMENT_INVALID', `${where}: ${shown} is refused: ${reason}`, options);
}
