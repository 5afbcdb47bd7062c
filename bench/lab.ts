/**
 * Runs a worker's sandboxes in this process, without its HTTP server, for measurements that are impossible from
 * outside.
 */
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { startSandboxes, toSandboxLimits } from '../src/compose/sandboxes/sandboxes';
import type { Sandboxes } from '../src/compose/sandboxes/sandboxes';
import { loadConfig } from '../src/config';
import type { Config } from '../src/config';
import { createLog } from '../src/log';
import { StatsRegistry } from '../src/metrics';
import type { LeafSpec, Sandbox } from '../src/sandbox/types';
import type { ZygoteProcess } from '../src/zygote/fleet/zygote-process';
import { SkipSubject } from './subject';
import { overlay } from './subjects/live-worker';
import type { Json } from './subjects/live-worker';
import type { Handler } from './subjects/invocations';

const execute = promisify(execFile);
/** Time limit for the zygote with a handler's packages, ms. It includes their install. */
const ZYGOTE_MS = 300_000;
const LOOK_MS = 20;

export class Lab {
  private codes = 0;

  private constructor(
    private readonly folder: string,
    private readonly config: Config,
    readonly sandboxes: Sandboxes,
  ) {}

  /**
   * @param root the built project's directory
   * @param settings merged into the config.json of `ol worker init`
   * @throws SkipSubject without root
   */
  static async start(root: string, settings: Json): Promise<Lab> {
    if (process.getuid?.() !== 0) throw new SkipSubject('needs root');
    await mkdir(join(root, 'out'), { recursive: true });
    const folder = await mkdtemp(join(root, 'out', 'bench-lab-'));
    await chmod(folder, 0o755);
    try {
      // The last path component names the cgroup, so it must be unique.
      const home = join(folder, basename(folder));
      await execute(join(root, 'bin/ol'), ['worker', 'init', '-p', home], { cwd: folder });
      const file = join(home, 'config.json');
      const own = { argyle: { helper: join(root, 'build/sandbox-helper') } };
      const written = overlay(overlay(JSON.parse(await readFile(file, 'utf8')) as Json, settings), own);
      await writeFile(file, JSON.stringify(written));
      const { config } = loadConfig(file);
      for (const name of ['code', 'scratch']) await mkdir(join(config.worker_dir, name), { recursive: true });
      const nothing = (): void => undefined;
      const log = createLog({ stream: { write: nothing } });
      const depTrace = { tracePackage: nothing, traceFunction: nothing, traceInvocation: nothing };
      const sandboxes = await startSandboxes(config, log, { stats: new StatsRegistry(), depTrace });
      return new Lab(folder, config, sandboxes);
    } catch (thrown) {
      await rm(folder, { recursive: true, force: true });
      throw thrown;
    }
  }

  /** Installs the handler's packages and puts its code where sandboxes can read it. */
  async deploy({ name, files }: Handler): Promise<LeafSpec> {
    const codeName = `${++this.codes}-${name}`;
    const dir = join(this.config.worker_dir, 'code', codeName);
    await mkdir(dir);
    for (const [file, text] of Object.entries(files)) await writeFile(join(dir, file), text);
    const packages = await this.sandboxes.packages.ensureInstalled(files['requirements.txt'] ?? '');
    const sys_path = packages.map(({ spec }) => `/packages/${spec}/files`).reverse();
    const boot = { role: 'leaf', name, runtime: 'python', entry_file: 'f.py', sys_path, env: {} } as const;
    return { boot, codeName, limits: toSandboxLimits(this.config.limits), packages };
  }

  /** Returns the zygote that has imported all packages of the spec, and starts it if necessary. */
  async zygote(spec: LeafSpec): Promise<ZygoteProcess> {
    const endMs = Date.now() + ZYGOTE_MS;
    for (;;) {
      const sandbox = await this.sandboxes.provider.create(spec);
      await sandbox.destroy('the zygotes are being made');
      const groups = this.sandboxes.zygotes.groups.list();
      const group = groups.find(({ spec: { pins } }) => pins.length === spec.packages.length);
      const ready = group?.processes.find(({ isReady }) => isReady);
      if (ready !== undefined) return ready;
      if (Date.now() > endMs) throw new SkipSubject('the zygote for these packages was not made');
      await sleep(LOOK_MS);
    }
  }

  async stop(): Promise<void> {
    await this.sandboxes.close();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Sends a request. When the answer is complete, resolves with the time of the answer's head. */
export function firstByte(sandbox: Sandbox): Promise<number> {
  return new Promise((resolve, reject) => {
    let headMs = 0;
    const headers = { 'content-type': 'application/json' };
    sandbox.dispatch(
      { path: '/run/bench', method: 'POST', headers, body: '{"n":1}' },
      {
        onStart: () => undefined,
        onHead: ({ status }) => {
          headMs = performance.now();
          if (status !== 200) reject(new Error(`the handler answered ${status}`));
        },
        onData: () => undefined,
        onEnd: () => {
          resolve(headMs);
        },
        onError: (error) => {
          reject(error);
        },
      },
    );
  });
}

/** Memory of a process as PSS, MB: shared pages are divided by the number of their users. */
export async function pssMb(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8');
  const kb = /^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1];
  if (kb === undefined) throw new Error(`/proc/${pid}/smaps_rollup tells no Pss`);
  return Number(kb) / 1024;
}
