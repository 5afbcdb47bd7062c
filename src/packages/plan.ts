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
import { LOCK_FILE, lockKey, parseLock } from './lock';
import type { LockStore } from './lock-store';
import { allPinned, normalizeName, parseRequirements, parseSpec } from './requirements';
import { type ReadFile, readRequirements } from './requirements-file';
import type { Resolver } from './resolver';
import type { Pin } from './tools';

export const REQUIREMENTS_FILE = 'requirements.txt';

/** How often missing packages may need further ones before the list is refused. */
const MAX_ROUNDS = 3;

export interface Plan {
  /** In the order of the list; packages that it lacks stand before it, and so come last on sys.path. */
  pins: Pin[];
  /** Whether the pins are known to be all that is needed. */
  complete: boolean;
}

export interface PlannerOptions {
  installer: Pick<PackageInstaller, 'ensurePins' | 'dependenciesOf'>;
  resolver: Pick<Resolver, 'resolve'>;
  locks: Pick<LockStore, 'load' | 'save'>;
  /** config.argyle.resolve */
  resolve: boolean;
}

export class PackagePlanner {
  constructor(private readonly options: PlannerOptions) {}

  /**
   * Reads a function's requirements, and resolves them where they are not pinned.
   * @param read gives files of the function's folder
   * @throws ArgyleError REQUIREMENT_INVALID, naming file, line and value; INSTALL_FAILED when there is no solution
   */
  async plan(read: ReadFile): Promise<Plan> {
    const text = await read(REQUIREMENTS_FILE);
    if (text === undefined) return { pins: [], complete: true };
    const lock = parseLock((await read(LOCK_FILE)) ?? '');
    if (lock?.from === lockKey(text)) return { pins: lock.pins, complete: true };
    const literal = parsed(text);
    const { resolve } = this.options;
    if (!(literal instanceof ArgyleError) && (allPinned(literal) || !resolve)) {
      return { pins: literal.map(({ spec }) => ({ spec, hashes: [] })), complete: !resolve };
    }
    if (!resolve) throw literal;
    return { pins: await this.resolved(read), complete: true };
  }

  /** plan() for one version of a function's archive: what it was resolved to before is not resolved again. */
  async planVersion(name: string, version: string, read: ReadFile): Promise<Plan> {
    const known = this.options.resolve ? await this.options.locks.load(name, version) : undefined;
    return known === undefined ? this.plan(read) : { pins: known, complete: true };
  }

  /** Remembers the pins of one version of a function's archive; a disk that is full loses them, and no more. */
  async remember(name: string, version: string, { pins, complete }: Plan): Promise<void> {
    if (!complete || pins.length === 0 || !this.options.resolve) return;
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

  private async resolved(read: ReadFile): Promise<Pin[]> {
    const input = await readRequirements(read, REQUIREMENTS_FILE);
    const pins = await this.options.resolver.resolve(input);
    // Hashes that the function gave are enforced; others would only keep packages from being shared.
    return input.hashed ? pins : pins.map(({ spec }) => ({ spec, hashes: [] }));
  }
}

/** The list in the contract's form, or why it is none. */
function parsed(text: string): ReturnType<typeof parseRequirements> | ArgyleError {
  try {
    return parseRequirements(text);
  } catch (thrown) {
    if (thrown instanceof ArgyleError) return thrown;
    throw thrown;
  }
}
