/** `runtime` of an ol.yaml: the Python of a function, by the name of a base. Pure. */
import { ArgyleError } from '../../../errors';

export interface RuntimeRules {
  /** Known names. The first is the worker's own Python. Absent for a caller that only reads a file. */
  runtimes?: readonly string[];
}

/**
 * @returns the name of a base; undefined for the worker's own
 * @throws ArgyleError LAMBDA_CONFIG for an unknown name
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
