/** `runtime` of an ol.yaml: which of the worker's Pythons a function runs under. Pure. */
import { ArgyleError } from '../../errors';

export interface RuntimeRules {
  /** Names that are known, the worker's own Python first; absent for whoever only reads a file. */
  runtimes?: readonly string[];
}

/**
 * @returns the base's name; undefined for the worker's own
 * @throws ArgyleError LAMBDA_CONFIG for a name that is not known
 */
export function checkRuntime(name: string, { runtimes }: RuntimeRules): string | undefined {
  if (runtimes === undefined) return name;
  if (runtimes.includes(name)) return name === runtimes[0] ? undefined : name;
  const shown = name.slice(0, 100);
  const known = `this worker has ${runtimes.join(', ')}; ol worker base add makes another`;
  throw new ArgyleError('LAMBDA_CONFIG', `runtime ${JSON.stringify(shown)} is not known: ${known}`, {
    field: 'runtime',
    value: shown,
  });
}
