/**
 * Converts a folder's requirements, in any supported format, to the pins of its archive.
 *
 * POLICY: requirements.txt comes first, since it belongs to the contract. Then come uv.lock, poetry.lock, and the
 * dependencies in pyproject.toml. A list that is pinned already keeps its bytes; missing pins are appended.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatLock, type Lock, LOCK_FILE, lockKey, parseLock, pinLines } from '../../packages/requirements/lock';
import { parseSpec, pinnedList } from '../../packages/requirements/requirements';
import { type ReadFile, readRequirements, type RequirementsInput } from '../../packages/requirements/requirements-file';
import type { Pin } from '../../packages/install/tools';
import { exported, findUv, type HostTools, resolveFile, resolveHere } from './host-tools';

const REQUIREMENTS = 'requirements.txt';

/** Files for the archive. An undefined field keeps the folder's own file. */
export interface Locked {
  /** Text of requirements.txt. */
  requirements?: string;
  /** Text of requirements.lock. */
  lock?: string;
  pins: readonly Pin[];
  /** Name of the file that the pins come from, for messages. */
  from: string;
  /** lockKey() of the inputs, stored in the requirements.lock in the source folder. */
  key: string;
  warning?: string;
}

interface Inputs {
  from: string;
  key: string;
  resolve: () => Promise<Pin[]>;
}

/**
 * Resolves the requirements of a folder. An up-to-date requirements.lock in the folder is used unchanged.
 * @returns undefined when the folder has no requirements
 * @throws CliError, ArgyleError REQUIREMENT_INVALID
 */
export async function lockFolder(dir: string, tools: HostTools, fresh = false): Promise<Locked | undefined> {
  const read = readIn(dir);
  const text = await read(REQUIREMENTS);
  if (text !== undefined) {
    const pinned = pinnedList(text)?.map(({ spec }) => ({ spec, hashes: [] }));
    if (pinned !== undefined) return completed(text, pinned, tools);
  }
  const inputs = text === undefined ? await projectInputs(dir, read, tools) : await listInputs(read, tools);
  if (inputs === undefined) return undefined;
  const lock = fresh ? undefined : await presentLock(read, inputs.key, tools.python.version);
  const pins = lock?.pins ?? (await inputs.resolve());
  const requirements = pinLines(pins);
  const own: Lock = { pins: [...pins], from: lockKey(requirements), python: tools.python.version };
  return { requirements, lock: formatLock(own), pins, from: inputs.from, key: inputs.key };
}

/** Returns a reader for the files of a folder. */
export function readIn(dir: string): ReadFile {
  return (name) => {
    const path = join(dir, name);
    return Promise.resolve(existsSync(path) ? readFileSync(path, 'utf8') : undefined);
  };
}

/** Appends the missing pins to a pinned list. A list that cannot be checked stays unchanged and gets a warning. */
async function completed(text: string, pins: readonly Pin[], tools: HostTools): Promise<Locked> {
  const result = { pins, from: REQUIREMENTS, key: lockKey(text) };
  if (pins.length === 0) return result;
  const listed = new Set(pins.map(({ spec }) => parseSpec(spec, REQUIREMENTS).name));
  const input: RequirementsInput = { requirements: pins.map(({ spec }) => spec), constraints: [], hashed: false };
  try {
    const all = await resolveHere(input, tools);
    const hashed = pins.map((pin) => all.find(({ spec }) => spec === pin.spec) ?? pin);
    const lacking = all.filter(({ spec }) => !listed.has(parseSpec(spec, REQUIREMENTS).name));
    if (lacking.length === 0) return { ...result, pins: hashed };
    const gap = text.endsWith('\n') ? '' : '\n';
    const requirements = `${text}${gap}# needed by the packages above\n${pinLines(lacking)}`;
    return { ...result, requirements, pins: [...hashed, ...lacking] };
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    return { ...result, warning: `requirements.txt was not completed: ${why}` };
  }
}

async function listInputs(read: ReadFile, tools: HostTools): Promise<Inputs> {
  const input = await readRequirements(read, REQUIREMENTS);
  const key = lockKey(input.requirements.join('\n'), input.constraints.join('\n'));
  return { from: REQUIREMENTS, key, resolve: () => resolveHere(input, tools) };
}

/** The requirements in a project's own files, for a folder without requirements.txt. */
async function projectInputs(dir: string, read: ReadFile, tools: HostTools): Promise<Inputs | undefined> {
  const project = await read('pyproject.toml');
  const lockOf = async (from: string, text: string, program: string, args: string[]): Promise<Inputs> => {
    const requirements = await exported(program, args, dir, tools);
    const input = await readRequirements((name) => Promise.resolve(name === from ? requirements : undefined), from);
    return { from, key: lockKey(text), resolve: () => resolveHere(input, tools) };
  };
  const uvLock = await read('uv.lock');
  if (uvLock !== undefined && project !== undefined) {
    const args = ['export', '--frozen', '--no-dev', '--no-emit-project', '--no-header', '--no-annotate', '--quiet'];
    return lockOf('uv.lock', uvLock, (await findUv(tools.env)) ?? 'uv', args);
  }
  const poetryLock = await read('poetry.lock');
  if (poetryLock !== undefined && project !== undefined) {
    return lockOf('poetry.lock', poetryLock, 'poetry', ['export', '--format', 'requirements.txt']);
  }
  if (project === undefined || !/^\s*dependencies\s*=/m.test(project) || !/^\s*\[project\]/m.test(project)) {
    return undefined;
  }
  const resolve = () => resolveFile(join(dir, 'pyproject.toml'), tools);
  return { from: 'pyproject.toml', key: lockKey(project), resolve };
}

async function presentLock(read: ReadFile, key: string, python: string): Promise<Lock | undefined> {
  const lock = parseLock((await read(LOCK_FILE)) ?? '');
  return lock?.from === key && lock.python === python ? lock : undefined;
}
