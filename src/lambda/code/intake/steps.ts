/**
 * The steps between an archive and its running code, in order. An upload and a pull take the same steps. The steps run
 * in a separate thread (thread.ts), because a malicious archive may take long.
 *
 *   1. unpack      every entry is checked, links, names and sizes                archive.ts
 *   2. ol.yaml     is bounded, then parsed; limits stay below the operator's     ol-yaml.ts, limits.ts
 *   3. environment ol.yaml's, else the archive's .env                           ../environment.ts
 *   4. secrets     no variable has the name of a secret                         ../environment.ts
 *   5. entry       the entry file exists, and allows the value of `concurrency` ../environment.ts, scale.ts
 *   6. packages    every line has a form that can be installed                  packages/requirements/request.ts
 *
 * Steps that need more than the archive, such as the package index, follow later (Registry.upload,
 * CodePuller.download).
 */
import { createReadStream, rmSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ArgyleError } from '../../../errors';
import { LOCK_FILE, MAX_LOCK_BYTES } from '../../../packages/requirements/lock';
import { checkEnv, checkSecretNames, findEntry, resolveEnv, type Entry } from '../environment';
import { defaultLambdaConfig, type LambdaConfig } from '../lambda-config';
import { readFromArchive, readFileBelow, readTopFile, unpackArchive, type ArchiveLimits } from './archive';
import type { LimitCaps } from './limits';
import { MAX_OL_YAML_BYTES, parseOlYaml } from './ol-yaml';
import { checkConcurrency } from './scale';
import { type PackageRequest, readRequest } from '../../../packages/requirements/request';

/** Longest entry file that checkConcurrency() examines, in bytes. */
const MAX_SOURCE_BYTES = 1 << 20;
/** Largest accepted requirements.txt, in bytes. */
const MAX_REQUIREMENTS_BYTES = 1 << 20;

export interface IntakeRules {
  archive: ArchiveLimits;
  caps: LimitCaps;
  /** argyle.max_instances; 0, the default, for no limit. */
  maxInstances?: number;
  /** Accepted values of `runtime`. By default every value is accepted. */
  runtimes?: readonly string[];
  /** config.argyle.resolve */
  resolve: boolean;
}

export interface ExamineJob {
  kind: 'examine';
  file: string;
  /** Existing empty directory for the unpacked code. */
  dir: string;
  /** Name of the directory in errors. */
  shownDir: string;
  /**
   * True for an upload. Errors that are tolerated in stored code then refuse the archive, and `dir` is removed at the
   * end.
   */
  strict: boolean;
  rules: IntakeRules;
}

/** The results of the steps. */
export interface Examined extends Entry {
  config: LambdaConfig;
  env: Record<string, string>;
  /** The packages that requirements.txt, or a lock made from it, asks for. */
  packages: PackageRequest;
  warnings: string[];
}

/** Runs all steps. @throws ArgyleError LAMBDA_CODE, LAMBDA_CONFIG, REQUIREMENT_INVALID */
export async function examine(job: ExamineJob): Promise<Examined> {
  try {
    return await takeSteps(job);
  } finally {
    // The directory is removed in this thread, not in the main thread: it may have 20,000 entries.
    if (job.strict) rmSync(job.dir, { recursive: true, force: true });
  }
}

async function takeSteps({ file, dir, shownDir, strict, rules }: ExamineJob): Promise<Examined> {
  const warnings: string[] = [];
  await unpackArchive(createReadStream(file), dir, rules.archive);
  const yaml = await readTopFile(dir, 'ol.yaml', MAX_OL_YAML_BYTES);
  const onIgnored = (message: string): void => {
    if (warnings.length < MAX_WARNINGS) warnings.push(message);
  };
  const onUnknown = (message: string, field: string): void => {
    if (strict) throw new ArgyleError('LAMBDA_CONFIG', message, { field });
    onIgnored(message);
  };
  const config = yaml === undefined ? defaultLambdaConfig() : parseOlYaml(yaml, { ...rules, onUnknown, onIgnored });
  const env = await resolveEnv(dir, config.environment);
  checkEnv(env);
  checkSecretNames(config.secrets, env);
  const entry = await findEntry(dir, env, shownDir);
  const { concurrency = 1 } = config;
  if (concurrency > 1) {
    const source = entry.runtime === 'native' ? '' : await readSource(join(dir, entry.entryFile));
    checkConcurrency(concurrency, entry, env, source);
  }
  const read = (name: string) => readFileBelow(dir, name, name === LOCK_FILE ? MAX_LOCK_BYTES : MAX_REQUIREMENTS_BYTES);
  const request = await readRequest(read, rules.resolve);
  const packages = config.base === undefined ? request : { ...request, base: config.base };
  return { config, env, ...entry, packages, warnings };
}

/** The text of an entry file; '' for a missing file or one above MAX_SOURCE_BYTES. */
async function readSource(file: string): Promise<string> {
  return statSync(file).size > MAX_SOURCE_BYTES ? '' : await readFile(file, 'utf8');
}

/** Maximum number of warnings about one archive. */
const MAX_WARNINGS = 20;

export interface ConfigJob {
  kind: 'config';
  file: string;
  rules: IntakeRules;
}

/** Reads only ol.yaml. @throws ArgyleError LAMBDA_CODE, LAMBDA_CONFIG */
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

/** Runs one job. */
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
