/**
 * Several Pythons in one worker: functions whose ol.yaml names a base of argyle.bases get sandboxes and packages of
 * that base. Each base has a helper of its own with slots, zygotes and packages, all made at its first use. They share
 * the worker's memory budget. See docs/adr/0008.
 */
import { mkdirSync } from 'node:fs';
import type { Config } from '../config';
import { baseConfig } from '../config/bases';
import { ArgyleError } from '../errors';
import type { DepTrace } from '../lambda/dep-trace';
import type { RootLog } from '../log';
import type { Stats } from '../metrics';
import type { EnsureOptions } from '../packages/installer';
import type { Plan } from '../packages/plan';
import type { PackageRequest } from '../packages/request';
import type { LeafSpec, Sandbox, SandboxProvider } from '../sandbox/types';
import type { FunctionPackages } from '../lambda/ports';
import { startSandboxes, type Sandboxes } from './sandboxes';

/** What a base offers to functions. */
export interface Base {
  provider: SandboxProvider;
  plans: FunctionPackages;
  close(): Promise<void>;
}

export class Bases<Started extends Base = Base> implements SandboxProvider, FunctionPackages {
  private readonly started = new Map<string, Promise<Started>>();
  private readonly ready = new Map<string, Started>();
  private closed = false;

  /**
   * @param own the base of functions that name none
   * @param start makes another one
   */
  constructor(
    private readonly own: Omit<Base, 'close'>,
    private readonly start: (name: string) => Promise<Started>,
  ) {}

  /** @throws what the base's provider throws; HELPER_* when the base cannot be started */
  create(spec: LeafSpec): Promise<Sandbox> {
    if (spec.base === undefined) return this.own.provider.create(spec);
    return this.of(spec.base).then(({ provider }) => provider.create(spec));
  }

  async plan(request: PackageRequest, retry?: boolean): Promise<Plan> {
    const { base } = request;
    return marked(await (await this.plansOf(base)).plan(request, retry), base);
  }

  async planVersion(name: string, version: string, request: PackageRequest): Promise<Plan> {
    const { base } = request;
    return marked(await (await this.plansOf(base)).planVersion(name, version, request), base);
  }

  async install(plan: Plan, options?: EnsureOptions): ReturnType<FunctionPackages['install']> {
    const { base } = plan;
    const done = await (await this.plansOf(base)).install(plan, options);
    return { ...done, plan: marked(done.plan, base) };
  }

  async remember(name: string, version: string, plan: Plan): Promise<void> {
    await (await this.plansOf(plan.base)).remember(name, version, plan);
  }

  /** The bases that were started, by name. */
  running(): [string, Started][] {
    return [...this.ready];
  }

  /** Ends the bases that were started; the worker's own is not among them. */
  async close(): Promise<void> {
    this.closed = true;
    const all = await Promise.allSettled([...this.started.values()].map(async (base) => (await base).close()));
    this.started.clear();
    this.ready.clear();
    const failed = all.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  private async plansOf(name: string | undefined): Promise<FunctionPackages> {
    return name === undefined ? this.own.plans : (await this.of(name)).plans;
  }

  /** Starts a base once; a start that failed is tried again by the next caller. */
  private of(name: string): Promise<Started> {
    const there = this.started.get(name);
    if (there !== undefined) return there;
    if (this.closed) return Promise.reject(new ArgyleError('SHUTTING_DOWN', 'the worker is stopping'));
    const starting = this.start(name);
    this.started.set(name, starting);
    starting.then(
      (base) => this.ready.set(name, base),
      () => this.started.delete(name),
    );
    return starting;
  }
}

const marked = (plan: Plan, base: string | undefined): Plan => (base === undefined ? plan : { ...plan, base });

/** The router over a worker's own base and those of argyle.bases, which are started at their first use. */
export function makeBases(
  config: Config,
  log: RootLog,
  own: Sandboxes,
  parts: { stats: Stats; depTrace: DepTrace },
): Bases<Sandboxes> {
  return new Bases(own, async (name) => {
    const settings = baseConfig(config, name);
    if (settings === undefined) throw new Error(`unreachable: base ${name} was checked`);
    const startMs = performance.now();
    mkdirSync(settings.Pkgs_dir, { recursive: true });
    const started = await startSandboxes(settings, log, parts, { name, pool: own.pool });
    log.logger.info({ base: name, ms: Math.round(performance.now() - startMs) }, 'a further Python is ready');
    return started;
  });
}
