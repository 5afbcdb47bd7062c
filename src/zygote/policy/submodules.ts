/**
 * Records the submodules that handlers use in addition to those that the package import loads. Example: a zygote with
 * only `PIL` saves almost nothing for a handler with `from PIL import Image`. Leaves report submodules
 * (guest/apps/entry.py), and zygotes import them ahead.
 *
 * Safety: a report comes from one handler, and the zygote serves other functions with the same packages. Only dotted
 * names below a package's own top-level modules are accepted, and a zygote searches these names only in its packages'
 * directories. Any reported name therefore runs only code of packages that all functions of the zygote require. A
 * submodule that fails is left out. When submodules make a zygote fail or start threads, zygotes import the package
 * without its submodules.
 */
import type { PinKey } from './types';

/** Limit for the names of one package, from all reports. */
const MAX_NAMES = 256;
/** A package with this many failed submodules is banned. */
const MAX_DROPPED = 1024;
const MAX_PACKAGES = 4096;
const MAX_LENGTH = 128;
const DOTTED = /^[\p{L}_][\p{L}\p{N}_]*(\.[\p{L}_][\p{L}\p{N}_]*)+$/u;

interface Known {
  readonly names: Set<string>;
  /** Names that must not be imported ahead again. */
  readonly dropped: Set<string>;
  banned: boolean;
}

/** Whether a name can be a submodule of a package with these top-level modules. Pure. */
export function isSubmodule(name: string, topLevel: readonly string[]): boolean {
  return name.length <= MAX_LENGTH && DOTTED.test(name) && topLevel.includes(name.slice(0, name.indexOf('.')));
}

export class SubmoduleBook {
  private readonly packages = new Map<PinKey, Known>();

  /**
   * Records the submodules that a handler loaded.
   * @param topLevel modules that the package provides
   * @returns whether any name was new
   */
  learn(key: PinKey, topLevel: readonly string[], names: readonly string[]): boolean {
    const known = this.at(key);
    const before = known.names.size;
    for (const name of names) {
      if (known.names.size >= MAX_NAMES) break;
      if (isSubmodule(name, topLevel) && !known.dropped.has(name)) known.names.add(name);
    }
    return known.names.size > before && !known.banned;
  }

  /** Returns the submodules that a zygote should import, importers before what they import. */
  of(key: PinKey): readonly string[] {
    const known = this.packages.get(key);
    return known === undefined || known.banned ? [] : [...known.names];
  }

  /** Returns the names of every package, for the next worker. */
  entries(): [PinKey, string[]][] {
    return [...this.packages].flatMap(([key, { names, banned }]) =>
      banned || names.size === 0 ? [] : [[key, [...names]] as [PinKey, string[]]],
    );
  }

  /** Records submodules that could not be imported by themselves. */
  drop(key: PinKey, names: readonly string[]): void {
    const known = this.at(key);
    for (const name of names) if (known.names.delete(name)) known.dropped.add(name);
    if (known.dropped.size >= MAX_DROPPED) known.banned = true;
  }

  /** Bans the package's submodules from zygotes. Returns whether there were any. */
  ban(key: PinKey): boolean {
    const known = this.packages.get(key);
    if (known === undefined || known.banned || known.names.size === 0) return false;
    known.banned = true;
    return true;
  }

  private at(key: PinKey): Known {
    let known = this.packages.get(key);
    if (known === undefined) {
      if (this.packages.size >= MAX_PACKAGES) this.packages.clear();
      known = { names: new Set(), dropped: new Set(), banned: false };
      this.packages.set(key, known);
    }
    return known;
  }
}
