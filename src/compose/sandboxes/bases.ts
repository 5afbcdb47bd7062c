/**
 * Several Pythons in one worker. A function whose ol.yaml names a base of argyle.bases gets sandboxes and packages of
 * that base. Each base has its own helper, slots, zygotes and packages. They are made when a function first uses the
 * base. All bases share the worker's memory budget. See docs/adr/0008.
 */
import type { Config } from '../../config';
import { baseConfig } from '../../config/bases';
import { ArgyleError } from '../../errors';
import type { RootLog } from '../../log';
import type { EnsureOptions } from '../../packages/install/installer';
import type { Plan } from '../../packages/plan';
import type { PackageRequest } from '../../packages/requirements/request';
import type { LeafSpec, Sandbox, SandboxProvider, StartWish } from '../../sandbox/types';
import type { FunctionPackages } from '../../lambda/ports';
import { startSandboxes, type Sandboxes, type SharedParts } from './sandboxes';

/** The services of a base for functions. */
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
   * @param start makes a further base
   */
  constructor(
    private readonly own: Omit<Base, 'close'>,
    private readonly start: (name: string) => Promise<Started>,
  ) {}

  /** @throws the errors of the base's provider; HELPER_* when the base cannot be started */
  create(spec: LeafSpec): Promise<Sandbox> {
    if (spec.base === undefined) return this.own.provider.create(spec);
    return this.of(spec.base).then(({ provider }) => provider.create(spec));
  }

  /** @throws as create() */
  async createWhile(spec: LeafSpec, wish: StartWish): Promise<Sandbox | undefined> {
    const { provider } = spec.base === undefined ? this.own : await this.of(spec.base);
    if (provider.createWhile !== undefined) return provider.createWhile(spec, wish);
    wish.onTurn();
    return provider.create(spec);
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

  /** Ends the started bases, except the worker's own. */
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

  /** Starts a base once. After a failed start, the next caller tries again. */
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

/** Makes a router over the worker's own base and those of argyle.bases. The router starts a base at its first use. */
export function makeBases(config: Config, log: RootLog, own: Sandboxes, parts: SharedParts): Bases<Sandboxes> {
  return new Bases(own, async (name) => {
    const settings = baseConfig(config, name);
    if (settings === undefined) throw new Error(`unreachable: base ${name} was checked`);
    const startMs = performance.now();
    const started = await startSandboxes(settings, log, parts, { name, pool: own.pool, starts: own.starts });
    log.logger.info({ base: name, ms: Math.round(performance.now() - startMs) }, 'a further Python is ready');
    return started;
  });
}
