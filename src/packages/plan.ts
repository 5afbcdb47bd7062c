/**
 * Plans the pins that are installed for a function's requirements.
 *
 * A pinned list in the contract's form stays unchanged; missing dependencies are added. Any other list is resolved once
 * per version of the function's archive. Without argyle.resolve, the worker behaves as the original: it installs each
 * line literally, and nothing else.
 */
import { ArgyleError } from '../errors';
import type { PackageImport } from '../sandbox/types';
import { withGivenHashes } from './requirements/hashes';
import type { EnsureOptions, PackageInstaller } from './install/installer';
import type { LockStore } from './requirements/lock-store';
import { type PackageRequest, REQUIREMENTS_FILE } from './requirements/request';
import { normalizeName } from '../config/package-names';
import { parseSpec } from './requirements/requirements';
import type { Resolver } from './resolver';
import type { Pin } from './install/tools';

/** Maximum number of rounds that add missing packages. A list that lacks packages after these rounds is refused. */
const MAX_ROUNDS = 3;

export interface Plan {
  /** Pins in the list's order. Added packages come first, so they are last on sys.path. */
  pins: Pin[];
  /** Whether the pins are known to be complete. */
  complete: boolean;
  /** See PackageRequest.base. */
  base?: string;
}

export interface PlannerOptions {
  installer: Pick<PackageInstaller, 'ensurePins' | 'dependenciesOf'>;
  resolver: Pick<Resolver, 'resolve'>;
  locks: Pick<LockStore, 'load' | 'save'>;
  /** Called with the packages of each installed plan. */
  onInstalled?: (packages: readonly PackageImport[]) => void;
}

export class PackagePlanner {
  constructor(private readonly options: PlannerOptions) {}

  /**
   * Resolves a request, unless it is pinned.
   * @param retry ignores the back-off after a failure
   * @throws ArgyleError INSTALL_FAILED when there is no solution, also during the back-off; REQUIREMENT_INVALID when a
   * required hash is missing
   */
  async plan(request: PackageRequest, retry = false): Promise<Plan> {
    if (request.kind === 'pins') return { pins: request.pins, complete: request.complete };
    const { input } = request;
    const pins = await this.options.resolver.resolve(input, retry);
    // The function's own hashes are enforced. The index's hashes would only keep packages from being shared.
    const bare = pins.map(({ spec }) => ({ spec, hashes: [] }));
    return { pins: withGivenHashes(input, bare), complete: true };
  }

  /**
   * Like plan(), for one version of a function's archive. The result is remembered, so each version is resolved once.
   */
  async planVersion(name: string, version: string, request: PackageRequest): Promise<Plan> {
    const isKnown = request.kind === 'pins' && request.complete;
    const known = isKnown ? undefined : await this.options.locks.load(name, version);
    return known === undefined ? this.plan(request) : { pins: known, complete: true };
  }

  /** Remembers the pins of one version of a function's archive. On a full disk, the version is resolved again later. */
  async remember(name: string, version: string, { pins, complete }: Plan): Promise<void> {
    if (!complete || pins.length === 0) return;
    await this.options.locks.save(name, version, pins).catch(() => undefined);
  }

  /**
   * Installs a plan's packages, and the dependencies that the plan lacks.
   * @returns the packages, and the plan with the added pins
   * @throws ArgyleError as PackageInstaller.ensurePins(); REQUIREMENT_INVALID with missing packages that cannot be
   * resolved
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
    this.options.onInstalled?.(imports);
    return { imports, plan: { pins, complete: true } };
  }

  /** Dependencies that the list lacks, each with the pin that needs it. */
  private missing(pins: readonly Pin[]): Map<string, string> {
    const listed = new Set(pins.map(({ spec }) => parseSpec(spec, 'pin').name));
    const missing = new Map<string, string>();
    for (const pin of pins) {
      for (const name of this.options.installer.dependenciesOf(pin) ?? []) {
        if (!listed.has(normalizeName(name))) missing.set(normalizeName(name), pin.spec);
      }
    }
    return missing;
  }

  /** Resolves the missing packages of a pinned list to pins. */
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
