/** The package request of a function's folder, from its files alone: pins, or requirements to resolve. */
import { LOCK_FILE, lockKey, parseLock } from './lock';
import { parseRequirements, pinnedList } from './requirements';
import { type ReadFile, readRequirements, type RequirementsInput } from './requirements-file';
import type { Pin } from '../install/tools';

export const REQUIREMENTS_FILE = 'requirements.txt';

export type PackageRequest =
  /** `complete`: nothing is added, whatever the packages' metadata says. */
  ({ kind: 'pins'; pins: Pin[]; complete: boolean } | { kind: 'open'; input: RequirementsInput }) & {
    /** The base in argyle.bases that the packages are for; absent for the worker's own base. */
    base?: string;
  };

/** A request without packages. */
export const NO_PACKAGES: PackageRequest = { kind: 'pins', pins: [], complete: true };

/**
 * Reads requirements.lock if it matches the current requirements.txt, else requirements.txt.
 * @param read returns files of the folder
 * @param resolve config.argyle.resolve
 * @throws ArgyleError REQUIREMENT_INVALID with file, line and value
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
