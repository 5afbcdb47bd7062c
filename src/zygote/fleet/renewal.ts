/**
 * Replaces zygotes by new ones that also import the submodules that handlers used. The old process serves until the new
 * process is ready, and ends with its last leaf. Children are replaced after their parents, because an old parent could
 * not end otherwise.
 */
import type { Group, ZygoteGroups } from './groups';
import type { SubmoduleBook } from '../policy/submodules';

/** Delay that combines the first reports of a function into one renewal, in ms. */
const AFTER_MS = 300;
/**
 * POLICY: back-off between renewals of a group, in ms. A renewal repeats all imports. The first renewal is immediate;
 * the back-off then doubles each time up to WAIT_MAX_MS.
 */
const WAIT_MS = 5000;
const WAIT_MAX_MS = 3_600_000;

export class ZygoteRenewal {
  private readonly seen = new WeakMap<Group, { times: number; notBeforeMs: number }>();
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private stopped = false;

  constructor(
    private readonly groups: ZygoteGroups,
    private readonly submodules: SubmoduleBook,
  ) {}

  /** Schedules a check after something was learnt. */
  schedule(): void {
    if (this.stopped) return;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      void this.look();
    }, AFTER_MS).unref();
  }

  /** Renews the outdated groups whose back-off has passed, one after the other, parents first. Never rejects. */
  look(): Promise<void> {
    this.running ??= this.renewAll().finally(() => (this.running = undefined));
    return this.running;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    clearTimeout(this.timer);
    await this.running;
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
    const missing = [...group.spec.imports.keys()].some((key) => {
      const wanted = this.submodules.of(key);
      return group.processes.some((zygote) => zygote.isReady && wanted.some((name) => !zygote.submodules.has(name)));
    });
    return missing || group.processes.some((zygote) => zygote.isReady && zygote.parent?.draining === true);
  }

  private mayRenew(group: Group): boolean {
    const seen = this.seen.get(group) ?? { times: 0, notBeforeMs: 0 };
    if (Date.now() < seen.notBeforeMs) return false;
    seen.notBeforeMs = Date.now() + Math.min(WAIT_MS * 2 ** seen.times++, WAIT_MAX_MS);
    this.seen.set(group, seen);
    return true;
  }
}
