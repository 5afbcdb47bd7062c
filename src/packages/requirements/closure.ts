/** Parses the dependencies in a package's metadata and chooses their pins, for the imports of zygotes. */
import { normalizeLine } from '../../config/package-names';
import { parseSpec } from './requirements';

export interface Dependency {
  /** Name in normalizeName()'s form. */
  name: string;
  /** Spec in the form of requirements.txt. */
  spec: string;
}

/**
 * Parses one Requires-Dist value whose marker, if any, is known to be true. Returns undefined for an entry that only an
 * extra needs, and for one that requirements.txt cannot express, such as a direct reference.
 */
export function parseDependency(requiresDist: string): Dependency | undefined {
  const [requirement = '', marker = ''] = requiresDist.split(';');
  if (/\bextra\b/.test(marker)) return undefined;
  const spec = normalizeLine(requirement.replace(/[()]/g, ''));
  try {
    return { name: parseSpec(spec, 'Requires-Dist').name, spec };
  } catch {
    return undefined;
  }
}

/**
 * The pin for a dependency; undefined when there is none.
 *
 * POLICY: a pin of the same package always matches, whatever the dependency's version range. Functions pin all packages
 * that they use, so a zygote with another version could serve none of them.
 * @param pins specs that have been parsed before
 */
export function choosePin(dependency: Dependency, pins: readonly string[]): string | undefined {
  return pins.find((spec) => parseSpec(spec, 'pin').name === dependency.name);
}
