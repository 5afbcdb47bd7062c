/**
 * What a function's requirements come to: the pins that are installed for it.
 *
 * A list that is pinned in the contract's form stays as it is, and gets what its packages need and it lacks. Any other
 * list is resolved once for each version of the function's archive. argyle.resolve off leaves the original's behaviour:
 * each line is installed literally, and nothing else.
 */
import { ArgyleError } from '../errors';
import type { PackageImport } from '../sandbox/types';
import type { EnsureOptions, PackageInstaller } from './installer';
import type { LockStore } from './lock-store';
import { type PackageRequest, REQUIREMENTS_FILE } from './request';
import { normalizeName, parseSpec } from './requirements';
import type { Resolver } from './resolver';
import type { Pin } from './tools';

/** How often missing packages may need further ones before the list is refused. */
const MAX_ROUNDS = 3;

export interface Plan {
  /** In the order of the list; packages that it lacks stand before it, and so come last on sys.path. */
  pins: Pin[];
  /** Whether the pins are known to be all that is needed. */
  complete: boolean;
  /** As PackageRequest's. */
  base?: string;
}

export interface PlannerOptions {
  installer: Pick<PackageInstaller, 'ensurePins' | 'dependenciesOf'>;
  resolver: Pick<Resolver, 'resolve'>;
  locks: Pick<LockStore, 'load' | 'save'>;
  /** Told of the packages of each plan that is installed. */
  onInstalled?: (specs: readonly string[]) => void;
}

export class PackagePlanner {
  constructor(private readonly options: PlannerOptions) {}

  /**
   * Resolves what a function asks for where it is not pinned.
   * @param retry tries again what failed a moment ago
   * @throws ArgyleError INSTALL_FAILED when there is no solution, also while the back-off after that runs
   */
  async plan(request: PackageRequest, retry = false): Promise<Plan> {
    if (request.kind === 'pins') return { pins: request.pins, complete: request.complete };
    const { input } = request;
    const pins = await this.options.resolver.resolve(input, retry);
    // Hashes that the function gave are enforced; others would only keep packages from being shared.
    return { pins: input.hashed ? pins : pins.map(({ spec }) => ({ spec, hashes: [] })), complete: true };
  }

  /** plan() for one version of a function's archive: what it was resolved to before is not resolved again. */
  async planVersion(name: string, version: string, request: PackageRequest): Promise<Plan> {
    const isKnown = request.kind === 'pins' && request.complete;
    const known = isKnown ? undefined : await this.options.locks.load(name, version);
    return known === undefined ? this.plan(request) : { pins: known, complete: true };
  }

  /** Remembers the pins of one version of a function's archive; a disk that is full loses them, and no more. */
  async remember(name: string, version: string, { pins, complete }: Plan): Promise<void> {
    if (!complete || pins.length === 0) return;
    await this.options.locks.save(name, version, pins).catch(() => undefined);
  }

  /**
   * Installs a plan's packages, and those that their metadata ask for and the plan lacks.
   * @returns the packages and the plan with what it lacked
   * @throws ArgyleError as PackageInstaller.ensurePins(); REQUIREMENT_INVALID naming packages that are missing and
   *   cannot be resolved
   */
  async install(plan: Plan, options: EnsureOptions = {}): Promise<{ imports: PackageImport[]; plan: Plan }> {
    const { installer } = this.options;
    let { pins } = plan;
    let imports = await installer.ensurePins(pins, options);
    for (let round = 0; !plan.complete && round < MAX_ROUNDS; round++) {
      const missing = this.missing(pins);
      if (missing.size === 0) break;
      pins = [...(await this.lacking(pins, missing)), ...pins];
      imports = await installer.ensurePins(pins, options);
    }
    this.options.onInstalled?.(imports.map(({ spec }) => spec));
    return { imports, plan: { pins, complete: true } };
  }

  /** Packages that installed ones need and the list lacks, each with the pin that needs it. */
  private missing(pins: readonly Pin[]): Map<string, string> {
    const listed = new Set(pins.map(({ spec }) => parseSpec(spec, 'pin').name));
    const missing = new Map<string, string>();
    for (const { spec } of pins) {
      for (const name of this.options.installer.dependenciesOf(spec) ?? []) {
        if (!listed.has(normalizeName(name))) missing.set(normalizeName(name), spec);
      }
    }
    return missing;
  }

  /** Pins for what a pinned list lacks. */
  private async lacking(pins: readonly Pin[], missing: ReadonlyMap<string, string>): Promise<Pin[]> {
    const listed = new Set(pins.map(({ spec }) => parseSpec(spec, 'pin').name));
    const requirements = pins.map(({ spec }) => spec);
    try {
      const all = await this.options.resolver.resolve({ requirements, constraints: [], hashed: false });
      const found = all.filter(({ spec }) => !listed.has(parseSpec(spec, 'pin').name));
      if (found.length > 0) return found.map(({ spec }) => ({ spec, hashes: [] }));
      throw new ArgyleError('INSTALL_FAILED', 'the resolver finds nothing to add');
    } catch (cause) {
      const needs = [...missing].map(([name, by]) => `${name} (needed by ${by})`).join(', ');
      const why = cause instanceof Error ? cause.message : String(cause);
      const message = `requirements.txt lacks ${needs}; add them, or mend what keeps them from being resolved: ${why}`;
      const options = { cause, field: REQUIREMENTS_FILE, value: [...missing.keys()].join(', ').slice(0, 200) };
      throw new ArgyleError('REQUIREMENT_INVALID', message, options);
    }
  }
}
