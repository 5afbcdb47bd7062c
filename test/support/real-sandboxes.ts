/** Test support: the real helper, slots, factory and zygotes in a separate directory. Needs root and a build. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { Dispatcher } from 'undici';
import type { AnswerHead } from '../../src/sandbox/answer/head';
import { makeHostBase } from '../../src/cli/worker/bases/base';
import { HelperClient } from '../../src/helper/client';
import { loadHelperConf } from '../../src/helper/conf';
import { findBuilt, loadArgyle } from '../../src/helper/ffi';
import { helloFields, installNetwork, lambdaNetwork } from '../../src/helper/session';
import { HelperSupervisor } from '../../src/helper/supervisor';
import { StatsRegistry } from '../../src/metrics';
import { SandboxFactory } from '../../src/sandbox/factory';
import { InstallerRunner } from '../../src/sandbox/installer';
import { MemoryPool } from '../../src/sandbox/memory/memory-pool';
import { SlotHome } from '../../src/sandbox/slot/slot-home';
import { SlotPool } from '../../src/sandbox/slot/slot-pool';
import type { LeafSpec, PackageImport, Sandbox, SandboxLimits } from '../../src/sandbox/types';
import type { ImportCache, ZygoteNode } from '../../src/config/types';
import { openPackagesDir } from '../../src/packages/store/packages-dir';
import { PackageViews } from '../../src/sandbox/slot/views';
import { assembleZygotes, type ZygoteLayer } from '../../src/zygote/assemble';
import type { ZygotePackages } from '../../src/zygote/plan-tree';
import { SANDBOX_IDS } from './helper/fixture';
import { until } from './until';

/**
 * Why the real helper cannot run on this machine; undefined when it can. With ARGYLE_MUST_WORK, a skip becomes a
 * failure.
 */
export function whyNoHelper(): string | undefined {
  if (process.getuid?.() !== 0) return 'not root';
  return findBuilt('sandbox-helper') === undefined ? 'sandbox-helper is not built' : undefined;
}

export const LIMITS: SandboxLimits = { memMb: 50, procs: 10, cpuPercent: 100, swapBytes: 0, scratchMb: 16 };
const INSTALLER: SandboxLimits = { memMb: 250, procs: 32, cpuPercent: 0, swapBytes: 0, scratchMb: 64 };

export interface RigOptions {
  /** First id and number of ids in helper.conf; default: those of configs/helper.conf. */
  ids?: string;
  mode?: ImportCache;
  tree?: ZygoteNode;
  /** Spawns the processes of fresh leaves ahead of use. */
  prespawn?: boolean;
  ready?: number;
  spares?: number;
  poolMb?: number;
  /** Memory limit of a zygote before it has many leaves, MB. */
  zygoteMb?: number;
  /** Loopback addresses that installers can reach, e.g. a package mirror. */
  installerEndpoints?: { host: string; port: number }[];
}

export class Rig {
  readonly dir = mkdtempSync(join(tmpdir(), 'argyle-rig-'));
  readonly stats = new StatsRegistry();
  readonly logs: string[] = [];
  readonly supervisor: HelperSupervisor;
  readonly slots: SlotPool;
  readonly pool: MemoryPool;
  readonly factory: SandboxFactory;
  readonly installer: InstallerRunner;
  readonly zygotes: ZygoteLayer;
  /**
   * Name of a package's place in the store. addPackage() uses the spec as the name; other tests replace this function.
   */
  placeOf: (spec: string) => string | undefined = (spec) => spec;
  private lastCode = 0;

  constructor(options: RigOptions = {}) {
    const worker = join(this.dir, 'worker');
    const base = join(this.dir, 'lambda');
    const packages = join(this.dir, 'packages');
    for (const dir of [join(worker, 'code'), join(worker, 'scratch')]) mkdirSync(dir, { recursive: true });
    openPackagesDir(packages);
    makeHostBase(base, process.env);
    const helperPath = findBuilt('sandbox-helper') ?? 'sandbox-helper';
    const confPath = join(this.dir, 'helper.conf');
    const guest = join(dirname(helperPath), 'guest');
    const ids = `sandbox_uids ${options.ids ?? `${SANDBOX_IDS.first} ${SANDBOX_IDS.count}`}\n`;
    writeFileSync(confPath, `root ${this.dir}\n${ids}guest ${guest}\n`, { mode: 0o644 });
    const argyle = loadArgyle();
    const session = {
      workerDir: worker,
      packagesDir: packages,
      baseDir: base,
      cgroupName: `${basename(this.dir)}-sandboxes`,
      hostUsr: true,
      seccomp: true,
      network: 'outbound' as const,
      installerEndpoints: options.installerEndpoints ?? [],
    };
    this.supervisor = new HelperSupervisor({
      start: () =>
        HelperClient.start({
          argyle,
          helperPath,
          args: ['--config', confPath],
          hello: helloFields(loadHelperConf(confPath), session),
          network: [lambdaNetwork(session), installNetwork(session)],
        }),
    });
    const helper = (): Promise<HelperClient> => this.supervisor.get();
    const { stats } = this;
    this.pool = new MemoryPool({ totalMb: options.poolMb ?? 1000, timeoutMs: 3000, stats });
    const views = new PackageViews(join(worker, 'code'));
    views.placeOf = (spec) => this.placeOf(spec);
    this.slots = new SlotPool({
      helper,
      home: new SlotHome(argyle, join(worker, 'scratch')),
      views,
      limits: LIMITS,
      ready: options.ready ?? 4,
      prespawn: options.prespawn ?? false,
      stats,
      log: {
        line: ({ source }, line) => this.logs.push(`${source}: ${line}`),
        dropped: () => undefined,
      },
    });
    this.factory = new SandboxFactory({
      slots: this.slots,
      pool: this.pool,
      stats,
      codeDir: join(worker, 'code'),
      downsizePaused: true,
      defaultMemMb: 50,
    });
    this.installer = new InstallerRunner({
      slots: this.slots,
      pool: this.pool,
      helper,
      limits: INSTALLER,
      timeoutMs: 30_000,
    });
    this.zygotes = assembleZygotes({
      mode: options.mode ?? '',
      tree: options.tree ?? { packages: [], children: [] },
      slots: this.slots,
      pool: this.pool,
      factory: this.factory,
      stats,
      packages: this.packages,
      leafLimits: { ...LIMITS, memMb: (options.zygoteMb ?? 4 * LIMITS.memMb) / 4 },
      installerLimits: { ...INSTALLER, memMb: options.zygoteMb ?? INSTALLER.memMb },
      sparesPerZygote: options.spares ?? 0,
      cpus: 1,
      onFailure: (id, error) => this.logs.push(`zygote "${id}" failed: ${String(error)}`),
    });
  }

  /** Packages of this rig: directories of addPackage(), without dependencies. */
  private readonly packages: ZygotePackages = {
    resolveForZygote: (specs) => Promise.resolve(specs.map((spec) => this.packageOf(spec))),
    installedVersion: () => undefined,
    dependenciesOf: () => undefined,
  };

  packageOf(spec: string): PackageImport {
    return { spec, modules: [spec.split('==')[0]?.replaceAll('-', '_') ?? spec] };
  }

  /** Makes an installed package from one module's source. */
  addPackage(spec: string, source: string): PackageImport {
    const found = this.packageOf(spec);
    const dir = join(this.dir, 'packages/.store', spec, 'files');
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, `${found.modules[0] ?? ''}.py`), source);
    return found;
  }

  /** A leaf spec whose code directory contains this f.py. */
  leaf(source: string, packages: PackageImport[] = [], limits: Partial<SandboxLimits> = {}): LeafSpec {
    const codeName = `${++this.lastCode}-fn`;
    const dir = join(this.dir, 'worker', 'code', codeName);
    mkdirSync(dir);
    writeFileSync(join(dir, 'f.py'), source);
    return {
      boot: {
        role: 'leaf',
        name: 'fn',
        runtime: 'python',
        entry_file: 'f.py',
        sys_path: packages.map(({ spec }) => `/packages/${spec}/files`),
        env: {},
      },
      codeName,
      limits: { ...LIMITS, ...limits },
      packages,
    };
  }

  /** Slots, open descriptors and mounts of the helper, and open descriptors of this process. */
  async counts(): Promise<{ slots: number; fds: number; mounts: number }> {
    const helper = await this.supervisor.get();
    const { value } = await helper.request('DIAG');
    const fds = readdirSync(`/proc/${helper.pid}/fd`).length;
    const mounts = readFileSync(`/proc/${helper.pid}/mountinfo`, 'utf8').split('\n').length;
    return { slots: value[0] ?? -1, fds, mounts };
  }

  /** Checks that the helper has no processes and that no memory is charged. For a rig without ready slots. */
  async verifyIdle(): Promise<void> {
    await until('nothing is left in the helper', async () => (await this.counts()).slots === 0);
    expect(this.pool.usedMb).toBe(0);
  }

  /** Ends every sandbox, checks that nothing is left, and closes the rig. */
  async finish(): Promise<void> {
    await this.endSandboxes();
    await this.verifyIdle();
    await this.close();
    expect(this.cgroups()).toEqual([]);
  }

  private async endSandboxes(): Promise<void> {
    await this.factory.close('the test is over');
    await this.zygotes.provider.close();
    await this.slots.close();
  }

  async close(): Promise<void> {
    await this.endSandboxes();
    await this.supervisor.close();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** All cgroup directories of this rig on the host. */
  cgroups(): string[] {
    // The exit code is ignored: other cgroups vanish during the search.
    const own = `*${basename(this.dir)}*`;
    const { stdout } = spawnSync('find', ['/sys/fs/cgroup', '-type', 'd', '-name', 'cg-*', '-path', own]);
    return stdout.toString().split('\n').filter(Boolean);
  }
}

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

/** Sends one request to a sandbox. */
export function call(sandbox: Sandbox, body: unknown = {}, timeoutMs = 10_000): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let status = 0;
    let headers: Answer['headers'] = {};
    const text = JSON.stringify(body);
    const options: Dispatcher.DispatchOptions = {
      path: '/run/fn',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: text,
    };
    let timer: NodeJS.Timeout | undefined;
    sandbox.dispatch(options, {
      onStart: (control) => {
        timer = setTimeout(() => {
          control.abort(new Error('test timeout'));
        }, timeoutMs);
      },
      onHead: (head) => {
        status = head.status;
        headers = headersOf(head);
      },
      onData: (chunk) => {
        chunks.push(chunk);
      },
      onEnd: () => {
        clearTimeout(timer);
        resolve({ status, headers, body: Buffer.concat(chunks).toString() });
      },
      onError: (error) => {
        clearTimeout(timer);
        reject(error);
      },
    });
  });
}

/** Headers by lower-case name. Repeated headers become lists. */
export function headersOf({ headers }: AnswerHead): Record<string, string | string[] | undefined> {
  const found: Record<string, string | string[] | undefined> = {};
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = (headers[i] as string).toLowerCase();
    const value = headers[i + 1] as string;
    const before = found[name];
    found[name] = before === undefined ? value : [before, value].flat();
  }
  return found;
}
