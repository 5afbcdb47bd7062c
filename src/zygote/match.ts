/**
 * Decides whether a zygote may serve a lambda. The rule is a security boundary: everything that a zygote has imported
 * must stand in the lambda's own requirements, by name and version, so that a malicious package reaches only those who
 * asked for it. Everything here is pure.
 */
import { compare, satisfies, valid } from '@renovatebot/pep440';
import { normalizeLine, normalizeName, normalizeVersion } from '../packages/requirements';
import { ArgyleError } from '../errors';
import type { PackagePin, PinKey } from './types';

export interface PackageSpec {
  readonly name: string;
  /** PEP 440 specifiers, '' when there are none. */
  readonly specifier: string;
  /** Set when the specifier is a single `==` without wildcard. */
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
 * Makes a pin out of a requirement.
 * @param installed the version found on disk, for requirements that do not pin one
 * @throws ArgyleError CONFIG_INVALID when the spec is malformed
 */
export function pinOf(spec: string, installed?: string): PackagePin {
  const parsed = parsePackageSpec(spec);
  const version = parsed.version ?? installed;
  const key = version === undefined ? normalizeLine(spec) : `${parsed.name}==${normalizeVersion(version)}`;
  return { name: parsed.name, version, spec, key };
}

/** The package's name in a key. */
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
 * Finds the pin of a lambda that a node's spec stands for, undefined when the lambda has none and so may not be served.
 * @param pins the lambda's pins by name
 * @param installed the version that the node's zygote has imported, or would import, for a spec that pins none;
 *   undefined when that is still open: the zygote is then made with the lambda's own version
 */
export function pinFor(
  spec: string,
  pins: ReadonlyMap<string, PackagePin>,
  installed: (spec: string) => string | undefined = () => undefined,
): PackagePin | undefined {
  const wanted = parsePackageSpec(spec);
  const pin = pins.get(wanted.name);
  if (pin === undefined) return undefined;
  // The same literal spec is the same directory, whatever version lies in it.
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
 * The lambda's pins by name. A name that stands there with two versions is left out: which of them a handler gets
 * depends on sys.path, so nothing may be imported for it.
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

/** Whether everything in `imported` stands in `wanted`. This is invariant 5 for zygotes with concrete pins. */
export function servesKeys(imported: readonly PinKey[], wanted: ReadonlySet<PinKey>): boolean {
  return imported.length <= wanted.size && imported.every((key) => wanted.has(key));
}
