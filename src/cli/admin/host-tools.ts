/** Finds and runs uv, pip and poetry of this machine, to resolve a folder's requirements before the upload. */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pythonIn } from '../../config/bases';
import { withGivenHashes } from '../../packages/requirements/hashes';
import { readPipEnv, withoutCredentials } from '../../packages/install/pip-config';
import { parsePins } from '../../packages/requirements/lock';
import { pinsOfReport } from '../../packages/resolver';
import type { RequirementsInput } from '../../packages/requirements/requirements-file';
import {
  compileArgv,
  INDEX_TIMEOUT_SEC,
  type IndexSource,
  type Pin,
  pipEnv,
  resolvePipArgv,
  uvEnv,
} from '../../packages/install/tools';
import { CliError } from '../command';
import { guestBeside, HOME } from '../paths';

const run = promisify(execFile);

/** Time limit of a resolution, ms. A resolution may read the metadata of many packages. */
const RESOLVE_MS = 300_000;
const MAX_OUTPUT = 64 << 20;
/** The Python of this machine. */
export const HOST_PYTHON = '/usr/bin/python3';

/** The Python that runs the functions. */
export interface TargetPython {
  /** `3.11` */
  version: string;
}

export interface HostTools {
  python: TargetPython;
  source: IndexSource;
  env: NodeJS.ProcessEnv;
  /** Called with each warning of uv, e.g. about a yanked version. */
  warn?: (text: string) => void;
}

/** The Python version below a root directory, from the interpreter's name; undefined without an interpreter. */
export function pythonBelow(root: string): TargetPython | undefined {
  const version = pythonIn(root);
  return version === undefined ? undefined : { version };
}

/**
 * Finds the tools for functions whose base directory is `base`; '' stands for the host's own files.
 * @throws CliError when there is no Python 3
 */
export async function hostTools(base: string, mirror: string, env: NodeJS.ProcessEnv): Promise<HostTools> {
  const source = { mirror, timeoutSec: INDEX_TIMEOUT_SEC, env: await readPipEnv(HOST_PYTHON, env) };
  const own = base === '' ? undefined : pythonBelow(base);
  return { python: own ?? (await hostPython(env)), source, env };
}

/** The version of HOST_PYTHON. @throws CliError when it does not run */
export async function hostPython(env: NodeJS.ProcessEnv): Promise<TargetPython> {
  const script = 'import sys; print("%d.%d" % sys.version_info[:2])';
  const answer = await run(HOST_PYTHON, ['-c', script], { env }).catch((cause: unknown) => {
    throw new CliError(`${HOST_PYTHON} does not run: install python3, or upload with --no-resolve`, { cause });
  });
  return { version: answer.stdout.trim() };
}

/** Argyle's own uv, else the uv on PATH, else undefined. */
export async function findUv(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const own = [join(HOME, 'build/guest/uv'), join(guestBeside(join(HOME, 'sandbox-helper')), 'uv')].find(existsSync);
  if (own !== undefined) return own;
  const onPath = await run('uv', ['--version'], { env }).catch(() => undefined);
  return onPath === undefined ? undefined : 'uv';
}

/**
 * Resolves requirements on this machine for the target's Python. Hashes in the requirements replace those of the index.
 * @throws CliError with the tool's error text; ArgyleError REQUIREMENT_INVALID for a missing hash
 */
export async function resolveHere(input: RequirementsInput, tools: HostTools): Promise<Pin[]> {
  return inFolder(async (folder) => {
    const requirements = join(folder, 'requirements.in');
    const constraints = join(folder, 'constraints.in');
    writeFileSync(requirements, input.requirements.map((line) => `${line}\n`).join(''));
    writeFileSync(constraints, input.constraints.map((line) => `${line}\n`).join(''));
    return withGivenHashes(input, await resolveFiles(requirements, constraints, tools, folder));
  });
}

/** Resolves a file that uv reads directly, such as pyproject.toml. @throws CliError */
export async function resolveFile(file: string, tools: HostTools): Promise<Pin[]> {
  const uv = await findUv(tools.env);
  if (uv === undefined)
    throw new CliError(`${file} is read by uv, which is not here: run make build, or pip install uv`);
  return inFolder((folder) => byUv(uv, [file], [], tools, folder));
}

/** Runs a project tool that prints requirements. @throws CliError that names the missing tool */
export async function exported(program: string, args: string[], dir: string, tools: HostTools): Promise<string> {
  const answer = await run(program, args, {
    cwd: dir,
    env: tools.env,
    timeout: RESOLVE_MS,
    maxBuffer: MAX_OUTPUT,
  }).catch((thrown: unknown) => {
    const { code, stderr, message } = thrown as { code?: unknown; stderr?: string; message: string };
    const why = code === 'ENOENT' ? `${program} is not installed` : stderr?.trim() || message;
    throw new CliError(`could not export the lock file with ${program}: ${why}; or write a requirements.txt`);
  });
  return answer.stdout;
}

async function resolveFiles(file: string, constraints: string, tools: HostTools, folder: string): Promise<Pin[]> {
  const uv = await findUv(tools.env);
  if (uv !== undefined) return byUv(uv, [file], [constraints], tools, folder);
  const report = join(folder, 'report.json');
  const env = { ...tools.env, ...pipEnv(tools.source) };
  const argv = ['-m', 'pip', ...resolvePipArgv(file, constraints, report, tools.source.mirror)];
  await call(HOST_PYTHON, argv, env);
  return pinsOfReport(readFileSync(report, 'utf8'));
}

async function byUv(uv: string, files: string[], constraints: string[], tools: HostTools, folder: string) {
  const result = join(folder, 'resolved.txt');
  const version = ['--python-version', tools.python.version];
  const compile = compileArgv(files, constraints, HOST_PYTHON).filter((flag) => flag !== '--quiet');
  const argv = [...compile, ...version, '--output-file', result];
  const said = await call(uv, argv, { ...tools.env, ...uvEnv(tools.source) });
  const warnings = [...said.matchAll(/^warning: (.*)$/gm)].map(([, text = '']) => text);
  // Drops warnings about the temporary files that this module made itself, e.g. one without constraints.
  warnings.filter((text) => !text.includes(folder)).forEach((text) => tools.warn?.(text));
  return parsePins(readFileSync(result, 'utf8'), 'the resolved requirements');
}

/** The reason in a resolver's standard error, without credentials and warnings. Pure. */
export function reasonIn(stderr: string): string {
  const lines = stderr.split('\n').filter((line) => !/^warning: /i.test(line));
  const reason = lines
    .join('\n')
    .trim()
    .replace(/^error: /i, '');
  return withoutCredentials(reason);
}

/** Returns the program's standard error. @throws CliError with this text when the program fails */
async function call(program: string, argv: string[], env: NodeJS.ProcessEnv): Promise<string> {
  const done = await run(program, argv, { env, timeout: RESOLVE_MS, maxBuffer: MAX_OUTPUT }).catch(
    (thrown: unknown) => {
      const { stderr, message } = thrown as { stderr?: string; message: string };
      throw new CliError(`the requirements cannot be resolved: ${reasonIn(stderr ?? '') || message}`, {
        cause: thrown,
      });
    },
  );
  return done.stderr;
}

async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'ol-resolve-'));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
