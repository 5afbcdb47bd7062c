/** Makes cold starts report the submodules that their handlers use, and renews zygotes that lack some of them. */
import type { LeafSpec } from '../../sandbox/types';
import type { ZygoteRenewal } from '../fleet/renewal';
import type { SubmoduleBook } from '../policy/submodules';
import type { PackagePin } from '../policy/types';

/** POLICY: a version of a function's code stops reporting after this many consecutive reports without new names. */
const QUIET = 2;
/** POLICY: limit for the reports of one version of a function's code. */
const MAX_ASKED = 12;
const MAX_CODES = 8192;

export class SubmoduleLearner {
  private readonly codes = new Map<string, { asked: number; quiet: number }>();

  constructor(
    private readonly submodules: SubmoduleBook,
    private readonly renewal: ZygoteRenewal,
  ) {}

  /** Returns the spec to start: with LeafBoot.learn, or unchanged. */
  learn(leaf: LeafSpec): LeafSpec {
    if (this.codes.size >= MAX_CODES) this.codes.clear();
    const code = this.codes.get(leaf.codeName) ?? { asked: 0, quiet: 0 };
    this.codes.set(leaf.codeName, code);
    if (code.quiet >= QUIET || code.asked >= MAX_ASKED) return leaf;
    code.asked++;
    return { ...leaf, boot: { ...leaf.boot, learn: true } };
  }

  /**
   * Records a leaf's report for the function's own packages.
   * @param used submodules by spec, untrusted
   */
  record({ codeName, packages }: LeafSpec, pins: readonly PackagePin[], used: Record<string, string[]>): void {
    let news = false;
    for (const { key, spec } of pins) {
      const topLevel = packages.find((found) => found.spec === spec)?.modules;
      const names = Object.hasOwn(used, spec) ? used[spec] : undefined;
      if (topLevel === undefined || names === undefined) continue;
      if (this.submodules.learn(key, topLevel, names)) news = true;
    }
    const code = this.codes.get(codeName);
    if (code !== undefined) code.quiet = news ? 0 : code.quiet + 1;
    if (news) this.renewal.schedule();
  }

  /** Checks for renewals whose back-off has passed. */
  look(): void {
    void this.renewal.look();
  }

  stop(): Promise<void> {
    return this.renewal.stop();
  }
}
