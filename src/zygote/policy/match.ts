/**
 * Decides whether a zygote may serve a function. Pure. This rule is a security boundary: the function's own
 * requirements must contain every package that the zygote has imported, by name and version. A malicious package
 * therefore reaches only functions that require it.
 */
import { compare, satisfies, valid } from '@renovatebot/pep440';
import { normalizeLine, normalizeName, normalizeVersion } from '../../config/package-names';
import { ArgyleError } from '../../errors';
import type { PackagePin, PinKey } from './types';

export interface PackageSpec {
  readonly name: string;
  /** PEP 440 specifiers; '' for none. */
  readonly specifier: string;
  /** The version of a single `==` specifier without wildcard; otherwise undefined. */
  readonly version: string | undefined;
}

const SPEC = /^([a-z0-9](?:[a-z0-9._-]*[a-z0-9])?)(?:\[[a-z0-9,._-]*\])?((?:===|~=|==|!=|<=|>=|<|>).+)?$/;

/**
 * Splits a node's or a requirement's spec: `name`, `name==version`, or `name` with other PEP 440 specifiers.
 * @throws ArgyleError CONFIG_INVALID naming the value when it is none of these
 */
export function parsePackageSpec(spec: string): PackageSpec {
  const found = SPEC.exec(normalizeLine(spec));
  if (!found) {
    throw new ArgyleError('CONFIG_INVALID', `packages: ${JSON.stringify(spec)} is not a name with optional versions`, {
      field: 'packages',
      value: spec,
    });
  }
  const [, name = '', specifier = ''] = found;
  const version = /^={2,3}([^,*=]+)$/.exec(specifier)?.[1];
  return { name: normalizeName(name), specifier, version };
}

/**
 * Converts a requirement to a pin.
 * @param installed the installed version, for requirements that do not pin one
 * @throws ArgyleError CONFIG_INVALID when the spec is malformed
 */
export function pinOf(spec: string, installed?: string): PackagePin {
  const parsed = parsePackageSpec(spec);
  const version = parsed.version ?? installed;
  const key = version === undefined ? normalizeLine(spec) : `${parsed.name}==${normalizeVersion(version)}`;
  return { name: parsed.name, version, spec, key };
}

/** Returns the package name of a key. */
export function nameOfKey(key: PinKey): string {
  const end = key.indexOf('==');
  const name = end > 0 ? key.slice(0, end) : key.replace(/[=<>!~].*$/, '');
  const extras = name.indexOf('[');
  return extras > 0 ? name.slice(0, extras) : name;
}

/** PEP 440 equality; text that is not a PEP 440 version equals only itself. */
export function sameVersion(a: string, b: string): boolean {
  if (a === b) return true;
  return valid(a) !== null && valid(b) !== null && compare(a, b) === 0;
}

/**
 * Finds the function's pin for a node's spec. Without such a pin, the result is undefined, and the node must not serve
 * the function.
 * @param pins the function's pins by name
 * @param installed returns the version that the node's zygote has imported, or would import, for an unpinned spec.
 *   Undefined when no version is known; the zygote is then made with the function's version.
 */
export function pinFor(
  spec: string,
  pins: ReadonlyMap<string, PackagePin>,
  installed: (spec: string) => string | undefined = () => undefined,
): PackagePin | undefined {
  const wanted = parsePackageSpec(spec);
  const pin = pins.get(wanted.name);
  if (pin === undefined) return undefined;
  // Equal literal specs mean the same directory, so they match whatever its version is.
  if (pin.spec === spec) return pin;
  if (pin.version === undefined) return undefined;
  const version = wanted.version ?? installed(spec);
  if (version !== undefined) return sameVersion(version, pin.version) ? pin : undefined;
  if (wanted.specifier === '') return pin;
  return valid(pin.version) !== null && satisfies(pin.version, wanted.specifier, { prereleases: true })
    ? pin
    : undefined;
}

/**
 * Returns the function's pins by name. A name with two versions is left out: the handler's version depends on sys.path,
 * so no zygote may import that name.
 */
export function pinsByName(pins: readonly PackagePin[]): Map<string, PackagePin> {
  const byName = new Map<string, PackagePin>();
  const ambiguous = new Set<string>();
  for (const pin of pins) {
    const other = byName.get(pin.name);
    if (other !== undefined && other.key !== pin.key) ambiguous.add(pin.name);
    byName.set(pin.name, other ?? pin);
  }
  for (const name of ambiguous) byName.delete(name);
  return byName;
}

/** Whether `wanted` contains all of `imported`. This is invariant 5 of SECURITY.md for zygotes with concrete pins. */
export function servesKeys(imported: readonly PinKey[], wanted: ReadonlySet<PinKey>): boolean {
  return imported.length <= wanted.size && imported.every((key) => wanted.has(key));
}
