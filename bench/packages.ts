import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { COLD_PANDAS, PANDAS_PINS } from './subjects/invocations';
import type { Handler } from './subjects/invocations';

const execute = promisify(execFile);
const PROBE_MS = 20_000;
/** A small wheel without dependencies, to test whether the index answers. */
const PROBE = 'six==1.16.0';

/** The packages of a run, and their source. */
export interface BenchPackages {
  /** Whether real packages are available. */
  real: boolean;
  /** Short name of the large import. */
  label: string;
  handler: Handler;
  pins: readonly string[];
  /** Extra settings of the workers. */
  settings: Record<string, unknown>;
  close(): void;
}

/** Whether pip's configured package index serves wheels. */
async function indexAnswers(): Promise<boolean> {
  const folder = await mkdtemp(join(tmpdir(), 'argyle-bench-probe-'));
  const options = ['-q', '--no-deps', '--no-cache-dir', '--retries', '0', '--timeout', '5', '-d', folder];
  try {
    await execute('/usr/bin/python3', ['-m', 'pip', 'download', ...options, PROBE], { timeout: PROBE_MS });
    return true;
  } catch {
    return false;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Serves the sample packages. Resolves with the process and its URL. */
async function startMirror(root: string): Promise<{ child: ChildProcess; url: string }> {
  const main = join(root, 'build/packages-mirror/main.js');
  const child = spawn(process.execPath, [main, '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const url of createInterface({ input: child.stdout })) return { child, url };
  throw new Error('the package mirror ended before it served anything');
}

/** Selects pandas if the package index answers, else a sample package of the same size. */
export async function choosePackages(root: string): Promise<BenchPackages> {
  if (await indexAnswers()) {
    const pins = PANDAS_PINS;
    return { real: true, label: 'pandas', handler: COLD_PANDAS, pins, settings: {}, close: () => undefined };
  }
  const { child, url } = await startMirror(root);
  const lambda = join(root, 'test/lambdas/sample-heavy');
  const requirements = await readFile(join(lambda, 'requirements.txt'), 'utf8');
  const files = {
    'f.py': await readFile(join(lambda, 'f.py'), 'utf8'),
    'ol.yaml': 'reuse-sandbox: false\n',
    'requirements.txt': requirements,
  };
  const pins = requirements.split('\n').filter((line) => line !== '');
  return {
    real: false,
    label: 'heavy sample',
    handler: { name: 'cold-heavy', files, pins },
    pins,
    settings: { pip_mirror: url },
    close: () => child.kill('SIGTERM'),
  };
}
