/** Resolves requirements to complete pins for the functions' Python, in an installer sandbox. */
import { z } from 'zod';
import { ArgyleError } from '../errors';
import type { InstallerBoot, InstallResult } from '../sandbox/types';
import { failure, type InstallSteps } from './install/install-step';
import { FailureMemory } from './install/failures';
import { lockKey, parsePins } from './requirements/lock';
import type { RequirementsInput } from './requirements/requirements-file';
import {
  compileArgv,
  type IndexSource,
  type Pin,
  pipEnv,
  resolvePipArgv,
  SANDBOX_PYTHON,
  uvEnv,
} from './install/tools';

const REQUIREMENTS = '/tmp/requirements.in';
const CONSTRAINTS = '/tmp/constraints.in';
/** Name of the tools' result in errors. */
const RESOLVED = 'the resolved requirements';
const RESULT = '/tmp/resolved';
/** The guest's exit code for a tool that the base lacks. */
const NO_TOOL = 127;

/** The format of pip's --report: https://pip.pypa.io/en/stable/reference/installation-report/ */
const reportShape = z.object({
  install: z.array(
    z.object({
      metadata: z.object({ name: z.string(), version: z.string() }),
      download_info: z.object({
        archive_info: z.object({ hashes: z.record(z.string(), z.string()).optional() }).optional(),
      }),
      requested_extras: z.array(z.string()).optional(),
    }),
  ),
});

/** The parts of the installer that the resolver uses. */
export interface ResolverHost {
  readonly steps: InstallSteps;
  withStage<T>(use: (stage: string) => Promise<T>): Promise<T>;
  source(): Promise<IndexSource>;
}

export class Resolver {
  private readonly failures: FailureMemory;

  constructor(
    private readonly host: ResolverHost,
    now?: () => number,
  ) {
    this.failures = new FailureMemory(now);
  }

  /**
   * Resolves requirements with uv, or with pip if the base has no uv. Every pin gets the hashes of its archives if the
   * index provides them.
   * @throws ArgyleError INSTALL_FAILED with the tool's reason, also during the back-off; REQUIREMENT_INVALID for a
   * requirement that resolves to no pin
   */
  async resolve(input: RequirementsInput, retry = false): Promise<Pin[]> {
    if (input.requirements.length === 0) return [];
    const key = lockKey(input.requirements.join('\n'), input.constraints.join('\n'));
    if (retry) this.failures.forgive([key]);
    this.failures.check(key);
    try {
      return await this.attempt(input);
    } catch (thrown) {
      if (thrown instanceof ArgyleError && thrown.code === 'INSTALL_FAILED') this.failures.failed(key, thrown);
      throw thrown;
    }
  }

  private async attempt(input: RequirementsInput): Promise<Pin[]> {
    const source = await this.host.source();
    const files = { [REQUIREMENTS]: lines(input.requirements), [CONSTRAINTS]: lines(input.constraints) };
    const common = { role: 'installer', spec: 'requirements.txt', target: '', files, result_file: RESULT } as const;
    return this.host.withStage(async (stage) => {
      if (this.host.steps.first === 'pip') return this.byPip(common, source, stage);
      const argv = [...compileArgv([REQUIREMENTS], [CONSTRAINTS], SANDBOX_PYTHON), '--output-file', RESULT];
      const byUv = await this.host.steps.run({ ...common, tool: 'uv', argv, env: uvEnv(source) }, stage);
      if (byUv.code !== NO_TOOL) return parsePins(textOf(byUv), RESOLVED);
      return this.byPip(common, source, stage);
    });
  }

  private async byPip(common: Omit<InstallerBoot, 'argv' | 'env'>, source: IndexSource, stage: string): Promise<Pin[]> {
    const argv = resolvePipArgv(REQUIREMENTS, CONSTRAINTS, RESULT, source.mirror);
    const answer = await this.host.steps.run({ ...common, tool: 'pip', argv, env: pipEnv(source) }, stage);
    return pinsOfReport(textOf(answer));
  }
}

/** The pins in pip's installation report. @throws ArgyleError INSTALL_FAILED for a malformed report */
export function pinsOfReport(text: string): Pin[] {
  let report: z.output<typeof reportShape>;
  try {
    report = reportShape.parse(JSON.parse(text));
  } catch (cause) {
    throw new ArgyleError('INSTALL_FAILED', "pip's report of what it resolved is malformed", { cause });
  }
  const pins = report.install.map(({ metadata, download_info: from, requested_extras: extras = [] }) => {
    const hash = from.archive_info?.hashes?.['sha256'];
    const named = extras.length === 0 ? metadata.name : `${metadata.name}[${extras.join(',')}]`;
    return `${named}==${metadata.version}${hash === undefined ? '' : ` --hash=sha256:${hash}`}`;
  });
  return parsePins(pins.sort().join('\n'), RESOLVED);
}

function textOf(result: InstallResult): string {
  if (!result.ok) throw failure('requirements.txt', 'its requirements cannot be resolved', result.output);
  return result.text ?? '';
}

function lines(items: readonly string[]): string {
  return items.map((item) => `${item}\n`).join('');
}
