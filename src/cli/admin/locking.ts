/**
 * From a folder's requirements, in whichever form a project keeps them, to the pins that go into its archive.
 *
 * POLICY: requirements.txt comes first, since it is the contract's; then uv.lock, poetry.lock, and the dependencies of
 * pyproject.toml. A list that is pinned already keeps its bytes, with what it lacks behind them.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatLock, type Lock, LOCK_FILE, lockKey, parseLock, pinLines } from '../../packages/lock';
import { parseSpec, pinnedList } from '../../packages/requirements';
import { type ReadFile, readRequirements, type RequirementsInput } from '../../packages/requirements-file';
import type { Pin } from '../../packages/tools';
import { exported, findUv, type HostTools, resolveFile, resolveHere } from './host-tools';

const REQUIREMENTS = 'requirements.txt';

/** What goes into the archive; undefined where the folder's own file stays. */
export interface Locked {
  /** Text of requirements.txt. */
  requirements?: string;
  /** Text of requirements.lock. */
  lock?: string;
  pins: readonly Pin[];
  /** What the pins were made from, for people: a file's name. */
  from: string;
  /** lockKey() of the inputs, for requirements.lock beside the source. */
  key: string;
  /** A warning for people. */
  warning?: string;
}

interface Inputs {
  from: string;
  key: string;
  resolve: () => Promise<Pin[]>;
}

/**
 * Resolves the requirements of a folder. An up-to-date requirements.lock in it is used as it is.
 * @returns undefined when the folder names no packages in any way
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

/** Files of a folder by their names within it. */
export function readIn(dir: string): ReadFile {
  return (name) => {
    const path = join(dir, name);
    return Promise.resolve(existsSync(path) ? readFileSync(path, 'utf8') : undefined);
  };
}

/** A pinned list with what it lacks. One that cannot be checked stays as it is, with a warning. */
async function completed(text: string, pins: readonly Pin[], tools: HostTools): Promise<Locked> {
  const result = { pins, from: REQUIREMENTS, key: lockKey(text) };
  if (pins.length === 0) return result;
  const listed = new Set(pins.map(({ spec }) => parseSpec(spec, REQUIREMENTS).name));
  const input: RequirementsInput = { requirements: pins.map(({ spec }) => spec), constraints: [], hashed: false };
  try {
    const all = await resolveHere(input, tools);
    const lacking = all.filter(({ spec }) => !listed.has(parseSpec(spec, REQUIREMENTS).name));
    if (lacking.length === 0) return result;
    const gap = text.endsWith('\n') ? '' : '\n';
    const requirements = `${text}${gap}# needed by the packages above\n${pinLines(lacking)}`;
    return { ...result, requirements, pins: [...pins, ...lacking] };
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    return { ...result, warning: `requirements.txt is uploaded as it is: ${why}` };
  }
}

async function listInputs(read: ReadFile, tools: HostTools): Promise<Inputs> {
  const input = await readRequirements(read, REQUIREMENTS);
  const key = lockKey(input.requirements.join('\n'), input.constraints.join('\n'));
  return { from: REQUIREMENTS, key, resolve: () => resolveHere(input, tools) };
}

/** What a project's own files name, without a requirements.txt. */
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
