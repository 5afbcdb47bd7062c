/** The project's own package index on loopback, for tests. */
import { buildPackages } from '../../packages-mirror/builder';
import { type Mirror, startMirror } from '../../packages-mirror/server';

export interface TestMirror extends Mirror {
  /** Requested paths so far, in order. */
  readonly requests: string[];
  /** Directory of the served files. */
  readonly dir: string;
}

/**
 * Builds the sample packages if their sources have changed, and serves them. One build runs at a time on this machine.
 */
export async function startTestMirror(): Promise<TestMirror> {
  const requests: string[] = [];
  const dir = await buildPackages();
  const mirror = await startMirror({ dir, onRequest: (_method, path) => requests.push(path) });
  return { ...mirror, dir, requests };
}
