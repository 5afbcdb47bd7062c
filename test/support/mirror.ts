/** The project's own package index on loopback, for tests. */
import { buildPackages } from '../../packages-mirror/builder';
import { type Mirror, startMirror } from '../../packages-mirror/server';

export interface TestMirror extends Mirror {
  /** Paths asked for so far, in order. */
  readonly requests: string[];
  /** Directory of the files that it serves. */
  readonly dir: string;
}

/** Builds the sample packages if their sources have changed (one build at a time on this machine) and serves them. */
export async function startTestMirror(): Promise<TestMirror> {
  const requests: string[] = [];
  const dir = await buildPackages();
  const mirror = await startMirror({ dir, onRequest: (_method, path) => requests.push(path) });
  return { ...mirror, dir, requests };
}
