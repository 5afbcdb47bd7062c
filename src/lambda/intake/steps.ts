/**
 * What an archive passes through before its code may run, in order; an upload and a pull take the same steps. They run
 * in a thread of their own (thread.ts): an archive may be made to take long.
 *
 *   1. unpack      every entry is checked, links, names and sizes                archive.ts
 *   2. ol.yaml     is bounded, then parsed; limits stay below the operator's     ol-yaml.ts, limits.ts
 *   3. environment ol.yaml's, else the archive's .env                            ../code-env.ts
 *   4. entry       the file that a sandbox starts is there                       ../code-env.ts
 *   5. packages    every line can be installed as far as its text tells          ../../packages/request.ts
 *
 * What needs more than the archive, such as the package index, comes after these (Intake.upload, CodePuller.download).
 */
import { createReadStream, rmSync } from 'node:fs';
import { ArgyleError } from '../../errors';
import { LOCK_FILE, MAX_LOCK_BYTES } from '../../packages/lock';
import { checkEnv, findEntry, resolveEnv, type Entry } from '../code-env';
import { defaultLambdaConfig, type LambdaConfig } from '../lambda-config';
import { readFromArchive, readFileBelow, readTopFile, unpackArchive, type ArchiveLimits } from './archive';
import type { LimitCaps } from './limits';
import { MAX_OL_YAML_BYTES, parseOlYaml } from './ol-yaml';
import { type PackageRequest, readRequest } from '../../packages/request';

/** Largest accepted requirements.txt, bytes. */
const MAX_REQUIREMENTS_BYTES = 1 << 20;

export interface IntakeRules {
  archive: ArchiveLimits;
  caps: LimitCaps;
  /** What `runtime` may say; by default nothing is refused. */
  runtimes?: readonly string[];
  /** config.argyle.resolve */
  resolve: boolean;
}

export interface ExamineJob {
  kind: 'examine';
  file: string;
  /** Existing empty directory that the code is unpacked to. */
  dir: string;
  /** What errors call the directory. */
  shownDir: string;
  /** An upload: what a worker tolerates in code that is stored already is an error, and `dir` is removed at the end. */
  strict: boolean;
  rules: IntakeRules;
}

/** What the steps found. */
export interface Examined extends Entry {
  config: LambdaConfig;
  env: Record<string, string>;
  /** What requirements.txt, or a lock made from it, asks for. */
  packages: PackageRequest;
  warnings: string[];
}

/** Takes all steps. @throws ArgyleError LAMBDA_CODE, LAMBDA_CONFIG, REQUIREMENT_INVALID */
export async function examine(job: ExamineJob): Promise<Examined> {
  try {
    return await takeSteps(job);
  } finally {
    // Here and not in the worker's own thread: there may be 50,000 entries.
    if (job.strict) rmSync(job.dir, { recursive: true, force: true });
  }
}

async function takeSteps({ file, dir, shownDir, strict, rules }: ExamineJob): Promise<Examined> {
  const warnings: string[] = [];
  await unpackArchive(createReadStream(file), dir, rules.archive);
  const yaml = await readTopFile(dir, 'ol.yaml', MAX_OL_YAML_BYTES);
  const onUnknown = (message: string, field: string): void => {
    if (strict) throw new ArgyleError('LAMBDA_CONFIG', message, { field });
    if (warnings.length < MAX_WARNINGS) warnings.push(message);
  };
  const config = yaml === undefined ? defaultLambdaConfig() : parseOlYaml(yaml, { ...rules, onUnknown });
  const env = await resolveEnv(dir, config.environment);
  checkEnv(env);
  const entry = await findEntry(dir, env, shownDir);
  const read = (name: string) => readFileBelow(dir, name, name === LOCK_FILE ? MAX_LOCK_BYTES : MAX_REQUIREMENTS_BYTES);
  const request = await readRequest(read, rules.resolve);
  const packages = config.base === undefined ? request : { ...request, base: config.base };
  return { config, env, ...entry, packages, warnings };
}

/** Bound of the warnings about one archive. */
const MAX_WARNINGS = 20;

export interface ConfigJob {
  kind: 'config';
  file: string;
  rules: IntakeRules;
}

/** Reads ol.yaml alone. @throws ArgyleError LAMBDA_CODE, LAMBDA_CONFIG */
export async function readConfig({ file, rules }: ConfigJob): Promise<LambdaConfig> {
  const yaml = await readFromArchive(createReadStream(file), 'ol.yaml', MAX_OL_YAML_BYTES, rules.archive);
  return yaml === undefined ? defaultLambdaConfig() : parseOlYaml(yaml);
}

export interface UnpackJob {
  kind: 'unpack';
  file: string;
  dir: string;
  rules: IntakeRules;
}

export interface RemoveJob {
  kind: 'remove';
  dir: string;
}

export type Job = ExamineJob | ConfigJob | UnpackJob | RemoveJob;

/** Does one job. */
export async function perform(job: Job): Promise<unknown> {
  switch (job.kind) {
    case 'examine':
      return await examine(job);
    case 'config':
      return await readConfig(job);
    case 'unpack':
      await unpackArchive(createReadStream(job.file), job.dir, job.rules.archive);
      return undefined;
    case 'remove':
      rmSync(job.dir, { recursive: true, force: true });
      return undefined;
  }
}
