/**
 * The hashes of a requirements file, in pip's format. They are enforced as given. Hashes of the index never replace
 * them. The rules: https://pip.pypa.io/en/stable/topics/secure-installs/
 */
import { ArgyleError } from '../../errors';
import { normalizeLine, normalizeVersion } from '../../config/package-names';
import { parseSpec } from './requirements';
import type { RequirementsInput } from './requirements-file';
import type { Pin } from '../install/tools';

/** Hexadecimal digits of each hash algorithm that pip accepts. */
const DIGITS: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };
/** Maximum number of pins in an error. */
const SHOWN = 10;

/** A line's hashes, and the text before them. */
export interface HashedLine {
  requirement: string;
  hashes: string[];
  /** Why the hashes are refused; undefined when they are valid. */
  fault: string | undefined;
}

/** Parses one logical line of a requirements file. */
export function splitHashes(line: string): HashedLine {
  const at = line.search(/\s--hash/);
  if (at < 0) return { requirement: line, hashes: [], fault: undefined };
  const words = line.slice(at).trim().split(/\s+/).join(' ').replaceAll('--hash ', '--hash=').split(' ');
  const values = words.map((word) => /^--hash=(['"]?)(.*)\1$/.exec(word)?.[2]?.toLowerCase());
  const fault = words.map((word, index) => faultOf(word, values[index])).find((found) => found !== undefined);
  const hashes = values.filter((value) => value !== undefined);
  return { requirement: line.slice(0, at), hashes, fault };
}

function faultOf(word: string, value: string | undefined): string | undefined {
  if (value === undefined) return `expected only --hash=KIND:HEX behind the requirement, found ${JSON.stringify(word)}`;
  const [kind = '', hex = '', ...more] = value.split(':');
  const digits = Object.hasOwn(DIGITS, kind) ? DIGITS[kind] : undefined;
  if (digits === undefined) {
    return `${JSON.stringify(kind)} is no kind of hash that pip takes; use sha256, sha384 or sha512`;
  }
  if (more.length === 0 && hex.length === digits && /^[0-9a-f]+$/.test(hex)) return undefined;
  return `a ${kind} hash has ${digits} hexadecimal digits`;
}

/**
 * Gives each pin the hashes that the requirements list for its package. A pin without such hashes keeps its own.
 * @throws ArgyleError REQUIREMENT_INVALID when a pin has no hash in pip's hash-checking mode, or when requirements and
 * constraints have no common hash
 */
export function withGivenHashes(input: RequirementsInput, pins: readonly Pin[]): Pin[] {
  const required = byName(input.requirements);
  const constrained = byName(input.constraints);
  const given = pins.map(({ spec }) => commonOf(spec, hashesFor(spec, required), hashesFor(spec, constrained)));
  const bare = pins.filter((_, index) => given[index]?.length === 0).map(({ spec }) => spec);
  if (input.hashed && bare.length > 0) {
    const shown = `${bare.slice(0, SHOWN).join(', ')}${bare.length > SHOWN ? ', …' : ''}`;
    const message =
      `requirements.txt gives no hash for ${shown}; with --require-hashes, or one --hash, every package needs one, ` +
      `also those that others need: add NAME==VERSION --hash=sha256:… for each, or remove all hashes`;
    throw new ArgyleError('REQUIREMENT_INVALID', message, { field: 'requirements.txt', value: shown });
  }
  return pins.map((pin, index) => {
    const hashes = given[index] ?? [];
    return hashes.length === 0 ? pin : { spec: pin.spec, hashes };
  });
}

interface Given {
  version: string | undefined;
  hashes: string[];
}

function byName(lines: readonly string[]): Map<string, Given[]> {
  const found = new Map<string, Given[]>();
  for (const line of lines) {
    const { requirement, hashes } = splitHashes(line);
    if (hashes.length === 0) continue;
    const [named = ''] = requirement.split(';');
    const { name, version } = parseSpec(normalizeLine(named.replace(/[()]/g, '')), 'requirements.txt');
    found.set(name, [...(found.get(name) ?? []), { version, hashes }]);
  }
  return found;
}

/**
 * The hashes for a pin. A package may have several lines with different markers. POLICY: the lines with the pin's
 * version count. Without such lines, all lines of the package count.
 */
function hashesFor(spec: string, given: ReadonlyMap<string, Given[]>): string[] {
  const { name, version = '' } = parseSpec(spec, 'pin');
  const all = given.get(name) ?? [];
  // `==2.1` also matches 2.1+cpu.
  const versions = [undefined, version, normalizeVersion(version.replace(/\+.*$/, ''))];
  const fitting = all.filter((line) => versions.includes(line.version));
  return [...new Set((fitting.length > 0 ? fitting : all).flatMap(({ hashes }) => hashes))];
}

/** As in pip, constraints restrict the requirements' hashes. */
function commonOf(spec: string, required: string[], constrained: string[]): string[] {
  if (required.length === 0 || constrained.length === 0) return [...required, ...constrained];
  const common = required.filter((hash) => constrained.includes(hash));
  if (common.length > 0) return common;
  const message = `${spec}: the hashes of the requirements and of the constraints have none in common`;
  throw new ArgyleError('REQUIREMENT_INVALID', message, { field: 'requirements.txt', value: spec });
}
