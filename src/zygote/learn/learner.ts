/**
 * Learns which submodules handlers use, and gives them to zygotes.
 *
 * Cold starts report the submodules that their handlers used. A zygote that lacks some of them is replaced by a new one
 * that imports them as well. The old process serves until the new process is ready, and ends with its last leaf.
 * Children are replaced after their parents, because an old parent could not end otherwise.
 */
import type { LeafSpec } from '../../sandbox/types';
import type { Group, ZygoteGroups } from '../fleet/groups';
import type { SubmoduleBook } from '../policy/submodules';
import type { PackagePin } from '../policy/types';

/** POLICY: a version of a function's code stops reporting after this many consecutive reports without new names. */
const QUIET = 2;
/** POLICY: limit for the reports of one version of a function's code. */
const MAX_ASKED = 12;
const MAX_CODES = 8192;
/** Delay that combines the first reports of a function into one renewal, in ms. */
const AFTER_MS = 300;
/**
 * POLICY: back-off between renewals of a group, in ms. A renewal repeats all imports. The first renewal is immediate;
 * the back-off then doubles each time up to WAIT_MAX_MS.
 */
const WAIT_MS = 5000;
const WAIT_MAX_MS = 3_600_000;

export class SubmoduleLearner {
  private readonly codes = new Map<string, { asked: number; quiet: number }>();
  private readonly renewals = new WeakMap<Group, { times: number; notBeforeMs: number }>();
  private timer: NodeJS.Timeout | undefined;
  private renewing: Promise<void> | undefined;
  private stopped = false;

  constructor(
    private readonly submodules: SubmoduleBook,
    private readonly groups: Pick<ZygoteGroups, 'list' | 'renew'>,
  ) {}

  /** Returns the spec to start. The spec requests a report of submodules while reports are needed. */
  learn(leaf: LeafSpec): LeafSpec {
    if (this.codes.size >= MAX_CODES) this.codes.clear();
    const code = this.codes.get(leaf.codeName) ?? { asked: 0, quiet: 0 };
    this.codes.set(leaf.codeName, code);
    if (code.quiet >= QUIET || code.asked >= MAX_ASKED) return leaf;
    code.asked++;
    return { ...leaf, boot: { ...leaf.boot, learn: true } };
  }

  /**
   * Records a leaf's report for the function's own packages, and schedules a renewal when the report brings new names.
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
    if (news) this.schedule();
  }

  /** Renews the outdated groups whose back-off has passed, one after the other, parents first. Never rejects. */
  look(): Promise<void> {
    this.renewing ??= this.renewAll().finally(() => (this.renewing = undefined));
    return this.renewing;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.renewing;
  }

  private schedule(): void {
    if (this.stopped) return;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      void this.look();
    }, AFTER_MS).unref();
  }

  private async renewAll(): Promise<void> {
    const byDepth = [...this.groups.list()].sort((a, b) => a.spec.pins.length - b.spec.pins.length);
    for (const group of byDepth) {
      if (this.stopped) return;
      if (!this.isStale(group) || !this.mayRenew(group)) continue;
      await this.groups.renew(group);
    }
  }

  private isStale(group: Group): boolean {
    if (group.draining || group.creating !== undefined) return false;
    const ready = group.processes.filter((zygote) => zygote.isReady);
    const wanted = [...group.spec.imports.keys()].flatMap((key) => this.submodules.of(key));
    return ready.some(
      ({ submodules, parent }) => parent?.draining === true || wanted.some((name) => !submodules.has(name)),
    );
  }

  private mayRenew(group: Group): boolean {
    const past = this.renewals.get(group) ?? { times: 0, notBeforeMs: 0 };
    if (Date.now() < past.notBeforeMs) return false;
    past.notBeforeMs = Date.now() + Math.min(WAIT_MS * 2 ** past.times++, WAIT_MAX_MS);
    this.renewals.set(group, past);
    return true;
  }
}
