/**
 * Parses requirements.txt as the OpenLambda worker does: removes spaces, cuts at `#`, converts to lower case, and
 * replaces `_` by `-`. Each remaining line is a literal pip spec, which also names the package's directory. Unlike the
 * original, it refuses options of pip, URLs, and anything that is more than one path component.
 */
import { valid } from '@renovatebot/pep440';
import { normalizeLine, normalizeName, normalizeVersion } from '../../config/package-names';
import { ArgyleError } from '../../errors';
import { FaultList } from './faults';

/** Longest accepted spec, bytes. It names a directory, and the helper accepts names of up to 199 bytes. */
export const MAX_SPEC_LENGTH = 180;
/** Maximum number of packages of one function. Each is one sys.path entry and one installer run. */
export const MAX_REQUIREMENTS = 1000;

export interface Requirement {
  /** The whole spec. It names the directory below Pkgs_dir and is pip's argument. */
  readonly spec: string;
  /** Name in PyPI's normal form (PEP 503): each run of `-`, `_` and `.` is one `-`. */
  readonly name: string;
  readonly extras: readonly string[];
  /** Version specifiers as written, e.g. `>=1.0,<2`; '' when there are none. */
  readonly specifier: string;
  /** The normalised version of `==`; undefined for ranges and names without a version. */
  readonly version: string | undefined;
}

const NAME = '[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?';
// PEP 440's operators, then a version that is safe in a file name: epochs (!), local labels (+), wildcards (*).
const CLAUSE = '(?:===|~=|==|!=|<=|>=|<|>)[a-z0-9][a-z0-9.!+*-]*';
const SPEC = new RegExp(`^(${NAME})(?:\\[(${NAME}(?:,${NAME})*)\\])?(${CLAUSE}(?:,${CLAUSE})*)?$`);

/** Matches two words where PEP 508 has one name: `six 1.16.0`, `requests security`. */
const JOINED = /^ *([A-Za-z0-9][A-Za-z0-9._-]*(?:\[[^\]]*\])?) +([A-Za-z0-9]\S*) *\r?$/;

/**
 * Parses one spec that normalizeLine() has processed.
 * @param where is named in the error, e.g. `requirements.txt line 3`
 * @throws ArgyleError REQUIREMENT_INVALID with `where` and the value
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
 * Parses a whole requirements.txt in the contract's form. A repeated spec is returned once, at its first position.
 * @throws ArgyleError REQUIREMENT_INVALID with number and value of every bad line; for two versions of a package, both
 * lines
 */
export function parseRequirements(text: string): Requirement[] {
  const bySpec = new Map<string, Requirement>();
  const pinnedAt = new Map<string, { where: string; requirement: Requirement }>();
  const faults = new FaultList();
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
    // Without the blank, the line would name another package.
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

/** The list if it is in the contract's form and pins every package; otherwise undefined. */
export function pinnedList(text: string): Requirement[] | undefined {
  try {
    const requirements = parseRequirements(text);
    return requirements.every(({ version }) => version !== undefined) ? requirements : undefined;
  } catch (thrown) {
    if (thrown instanceof ArgyleError) return undefined;
    throw thrown;
  }
}

/** Why a spec is refused, the most helpful reason first; undefined when it is allowed. */
function refusal(spec: string): string | undefined {
  if (spec === '') return 'it is empty';
  if (spec.length > MAX_SPEC_LENGTH) return `it is longer than ${MAX_SPEC_LENGTH} characters`;
  if (/[^\x21-\x7e]/.test(spec)) return 'it has control or non-ASCII characters';
  if (spec.startsWith('-')) return 'options of pip are not allowed, only packages';
  if (spec.endsWith('\\')) return 'continued lines are not allowed';
  if (/[/\\:]/.test(spec)) return 'paths and URLs are not allowed, only packages by name';
  if (spec.includes('@')) return 'direct references are not allowed, only packages by name';
  // The rewriting of `_` breaks the variables of all markers, so no function of the original can use markers.
  if (spec.includes(';')) return 'environment markers are not allowed';
  if (spec.includes('..')) return "'..' is not allowed";
  const [, , , specifier] = SPEC.exec(spec) ?? [];
  if (!SPEC.test(spec)) return 'expected a name and perhaps versions, like numpy==2.1.0';
  const unfit = specifier?.split(',').find((clause) => !isClause(clause));
  return unfit === undefined ? undefined : `no version fits ${unfit} (PEP 440)`;
}

/** Whether pip accepts a clause: its version is valid by PEP 440 and has a form that its operator accepts. */
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
