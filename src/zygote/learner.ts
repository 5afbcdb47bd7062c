/** Asks cold starts which submodules their handlers use, and has zygotes made anew that lack some of them. */
import type { LeafSpec } from '../sandbox/types';
import type { ZygoteRenewal } from './renewal';
import type { SubmoduleBook } from './submodules';
import type { PackagePin } from './types';

/** POLICY: one state of a function's code is asked until that many reports in a row brought nothing new… */
const QUIET = 2;
/** …and never more often than this. */
const MAX_ASKED = 12;
const MAX_CODES = 8192;

export class SubmoduleLearner {
  private readonly codes = new Map<string, { asked: number; quiet: number }>();

  constructor(
    private readonly submodules: SubmoduleBook,
    private readonly renewal: ZygoteRenewal,
  ) {}

  /** The leaf as it is to be started: told to report, or as it was. */
  teach(leaf: LeafSpec): LeafSpec {
    if (this.codes.size >= MAX_CODES) this.codes.clear();
    const code = this.codes.get(leaf.codeName) ?? { asked: 0, quiet: 0 };
    this.codes.set(leaf.codeName, code);
    if (code.quiet >= QUIET || code.asked >= MAX_ASKED) return leaf;
    code.asked++;
    return { ...leaf, boot: { ...leaf.boot, learn: true } };
  }

  /**
   * Notes what a leaf reported, as far as it is about the function's own packages.
   * @param used submodules by spec, the guest's word
   */
  told({ codeName, packages }: LeafSpec, pins: readonly PackagePin[], used: Record<string, string[]>): void {
    let news = false;
    for (const { key, spec } of pins) {
      const topLevel = packages.find((found) => found.spec === spec)?.modules;
      const names = Object.hasOwn(used, spec) ? used[spec] : undefined;
      if (topLevel === undefined || names === undefined) continue;
      if (this.submodules.learn(key, topLevel, names)) news = true;
    }
    const code = this.codes.get(codeName);
    if (code !== undefined) code.quiet = news ? 0 : code.quiet + 1;
    if (news) this.renewal.poke();
  }

  /** Time has passed: what had to wait may be due. */
  look(): void {
    void this.renewal.look();
  }

  stop(): Promise<void> {
    return this.renewal.stop();
  }
}
