/** What a function's folder asks for, as far as its texts tell: pins, or requirements that are still to be resolved. */
import { LOCK_FILE, lockKey, parseLock } from './lock';
import { parseRequirements, pinnedList } from './requirements';
import { type ReadFile, readRequirements, type RequirementsInput } from './requirements-file';
import type { Pin } from './tools';

export const REQUIREMENTS_FILE = 'requirements.txt';

export type PackageRequest =
  /** `complete`: nothing is to be added, whatever the packages' metadata ask for. */
  ({ kind: 'pins'; pins: Pin[]; complete: boolean } | { kind: 'open'; input: RequirementsInput }) & {
    /** The base of argyle.bases that they are for; absent for the worker's own. */
    base?: string;
  };

/** No packages at all. */
export const NO_PACKAGES: PackageRequest = { kind: 'pins', pins: [], complete: true };

/**
 * Reads requirements.lock, if it was made from the present requirements.txt, or else requirements.txt.
 * @param read gives files of the folder
 * @param resolve config.argyle.resolve
 * @throws ArgyleError REQUIREMENT_INVALID, naming file, line and value
 */
export async function readRequest(read: ReadFile, resolve: boolean): Promise<PackageRequest> {
  const text = await read(REQUIREMENTS_FILE);
  if (text === undefined) return NO_PACKAGES;
  const lock = parseLock((await read(LOCK_FILE)) ?? '');
  if (lock?.from === lockKey(text)) return { kind: 'pins', pins: lock.pins, complete: true };
  const literal = resolve ? pinnedList(text) : parseRequirements(text);
  if (literal === undefined) return { kind: 'open', input: await readRequirements(read, REQUIREMENTS_FILE) };
  const pins = literal.map(({ spec }) => ({ spec, hashes: [] }));
  return { kind: 'pins', pins, complete: !resolve || pins.length === 0 };
}
