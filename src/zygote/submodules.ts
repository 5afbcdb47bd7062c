/**
 * Which submodules of packages handlers really use, beyond what importing the packages loads: `PIL` alone is of little
 * help to a handler that says `from PIL import Image`. Leaves report them (guest/entry.py); zygotes import them ahead.
 *
 * Who may name what: a report is the word of one handler, and the zygote serves others with the same packages. So only
 * dotted names below a package's own top-level modules count, which a zygote looks for in its packages' directories
 * alone: whatever is named, no code runs but that of packages that all whom the zygote serves have asked for. What
 * fails is left out, and what makes a zygote fail or start threads costs the package its submodules, not its zygote.
 */
import type { PinKey } from './types';

/** Names that are remembered for one package: reports of many handlers together. */
const MAX_NAMES = 256;
/** A package of which so many failed gets no more chances. */
const MAX_DROPPED = 1024;
const MAX_PACKAGES = 4096;
const MAX_LENGTH = 128;
const DOTTED = /^[\p{L}_][\p{L}\p{N}_]*(\.[\p{L}_][\p{L}\p{N}_]*)+$/u;

interface Known {
  readonly names: Set<string>;
  /** Not to be imported ahead again. */
  readonly dropped: Set<string>;
  banned: boolean;
}

/** Whether a name may be a submodule of a package with these top-level modules. Pure. */
export function isSubmodule(name: string, topLevel: readonly string[]): boolean {
  return name.length <= MAX_LENGTH && DOTTED.test(name) && topLevel.includes(name.slice(0, name.indexOf('.')));
}

export class SubmoduleBook {
  private readonly packages = new Map<PinKey, Known>();

  /**
   * Notes what a handler had to load.
   * @param topLevel modules that the package provides
   * @returns whether anything of it was new
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

  /** What a zygote should import besides the package, importers before what they import. */
  of(key: PinKey): readonly string[] {
    const known = this.packages.get(key);
    return known === undefined || known.banned ? [] : [...known.names];
  }

  /** Notes that these could not be imported by themselves. */
  drop(key: PinKey, names: readonly string[]): void {
    const known = this.at(key);
    for (const name of names) if (known.names.delete(name)) known.dropped.add(name);
    if (known.dropped.size >= MAX_DROPPED) known.banned = true;
  }

  /** Keeps the package's submodules out of zygotes from now on. Returns whether there were any. */
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
