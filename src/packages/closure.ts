/** The dependencies of a package as its metadata names them; only zygotes follow them. */
import { normalizeLine, parseSpec } from './requirements';

export interface Dependency {
  /** In the form of normalizeName(). */
  name: string;
  /** The spec as requirements.txt would say it. */
  spec: string;
}

/**
 * Reads one Requires-Dist value, whose marker (if it has one) is known to hold. Undefined for what no requirements.txt
 * could say, such as a direct reference, and for what only an extra asks for.
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
 * The pin that stands for a dependency; undefined when there is none.
 * POLICY: a pin of the same package wins, whatever version range the dependency names: functions pin all they use, and
 * a zygote with another version could serve none of them.
 * @param pins specs that have been parsed before
 */
export function choosePin(dependency: Dependency, pins: readonly string[]): string | undefined {
  return pins.find((spec) => parseSpec(spec, 'pin').name === dependency.name);
}
