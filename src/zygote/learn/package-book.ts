/**
 * What the worker knows about the packages that functions require: their modules, their dependencies, and exclusions.
 */
import type { PackageImport } from '../../sandbox/types';
import { nameOfKey } from '../policy/match';
import type { PinKey, RequiresOf } from '../policy/types';

/** Limit for the packages whose modules are remembered. */
const MOST_IMPORTS = 8192;

export class PackageBook {
  private readonly imports = new Map<PinKey, PackageImport>();
  private readonly needs = new Map<PinKey, readonly string[]>();
  /** Reasons by key or by bare name. */
  private readonly exclusions = new Map<string, string>();

  /** Records the modules that a package provides. A zygote with the package needs this list. */
  know(key: PinKey, found: PackageImport): void {
    // A spec without a version may have changed its version, so the latest request replaces an older entry.
    if (this.imports.get(key)?.spec === found.spec) return;
    if (this.imports.size >= MOST_IMPORTS) this.imports.clear();
    this.imports.set(key, found);
  }

  /** Returns the modules that a package provides; undefined when unknown. */
  importOf(key: PinKey): PackageImport | undefined {
    return this.imports.get(key);
  }

  /** The installed spec of each known package, by key. */
  get specs(): Record<PinKey, string> {
    return Object.fromEntries([...this.imports].map(([key, { spec }]) => [key, spec]));
  }

  /** Records the names that a package needs, as its installer reported them. */
  requires(key: PinKey, names: readonly string[]): void {
    this.needs.set(key, names);
  }

  /** Names that a package needs; undefined when unknown. */
  readonly requiresOf: RequiresOf = (key) => this.needs.get(key);

  /** All known needs, by key. */
  get required(): ReadonlyMap<PinKey, readonly string[]> {
    return this.needs;
  }

  /**
   * Excludes a package from all zygotes from now on.
   * @param packageKey key of one version, or a bare name for all versions
   */
  exclude(packageKey: string, reason: string): void {
    this.exclusions.set(packageKey, reason);
  }

  get excluded(): ReadonlyMap<string, string> {
    return this.exclusions;
  }

  /** Whether a package is excluded from zygotes. */
  isExcluded(key: PinKey): boolean {
    return this.exclusions.has(key) || this.exclusions.has(nameOfKey(key));
  }

  /** Forgets the needs of all packages except `wanted`. */
  prune(wanted: ReadonlySet<PinKey>): void {
    for (const key of this.needs.keys()) if (!wanted.has(key)) this.needs.delete(key);
  }
}
