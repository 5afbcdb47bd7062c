/** Makes a sandbox's specification from a function's code and settings. Pure. */
import type { LeafSpec } from '../../../sandbox/types';
import type { CodeVersion } from '../../code/version';
import { importedAhead } from './own-imports';
import { runtimeSec, sandboxLimits, type LambdaSettings } from '../../settings';

/** The specification of a leaf that serves this version of a function. */
export function leafSpec({ facts, sysPath, secrets }: CodeVersion, settings: LambdaSettings): LeafSpec {
  const { name, codeName, runtime, entryFile, packages, config } = facts;
  const env = { ...facts.env, ...secrets };
  const limits = sandboxLimits(settings, config.limits);
  return {
    boot: {
      role: 'leaf',
      name,
      runtime,
      entry_file: entryFile,
      sys_path: sysPath,
      env,
      limits: { mem_mb: limits.memMb, procs: limits.procs, runtime_sec: runtimeSec(settings, config.limits) },
      ...(config.concurrency === undefined ? {} : { concurrency: config.concurrency }),
      ...(settings.showErrors ? {} : { hide_errors: true }),
    },
    codeName,
    limits,
    ...(config.base === undefined ? {} : { base: config.base }),
    packages: importedAhead(packages, env),
  };
}
