/**
 * Makes one zygote: takes a slot, starts the process, imports the packages, and decides whether the zygote may be
 * forked.
 */
import { z } from 'zod';
import { Role } from '../../helper/protocol';
import { ArgyleError } from '../../errors';
import { names } from '../../sandbox/answer/boot-report';
import { askGuest } from '../../sandbox/boot';
import { Lease } from '../../sandbox/lease';
import type { MemoryPool } from '../../sandbox/memory/memory-pool';
import type { SlotPool } from '../../sandbox/slot/slot-pool';
import type { PackageImport, SandboxLimits, ZygoteReady } from '../../sandbox/types';
import { lacksNeeds } from '../policy/candidates';
import { ZygoteProcess } from './zygote-process';
import { SubmoduleBook } from '../policy/submodules';
import type { CostOf, ImportCost, PinKey, RequiresOf } from '../policy/types';

/** The content of a group's zygotes. */
export interface GroupSpec {
  /** Sorted pins joined by `,`; '' for the root. */
  readonly id: string;
  readonly parent: string | undefined;
  /** All pins, including those of the ancestors; sorted. */
  readonly pins: readonly PinKey[];
  /** Packages that the group adds to its parent's, dependencies first, by key. */
  readonly imports: ReadonlyMap<PinKey, PackageImport>;
  /** Specs on sys.path: the group's own and those of its ancestors. */
  readonly path: readonly string[];
}

export interface MakerOptions {
  slots: SlotPool;
  pool: MemoryPool;
  /** Limits of a zygote's own slot. */
  zygoteLimits: SandboxLimits;
  costOf: CostOf;
  /** Submodules to import in addition to the packages; default none. */
  submodules?: SubmoduleBook;
  /** Names that a package needs; by default unknown for all packages. */
  requiresOf?: RequiresOf;
  /** Called with the cost of importing one package. */
  onImported: (key: PinKey, cost: ImportCost) => void;
  /** Called when a package must not be in a zygote. */
  onExclude: (key: PinKey, reason: string) => void;
}

/** Limit for the imports of a zygote, in ms. */
const IMPORT_TIMEOUT_MS = 60_000;
/** Charge of a zygote that is being made, in addition to its packages' known costs, in MB. */
const BASE_MB = 12;

/** Errors that the zygote's imports may have caused. Other errors would occur with any other zygote, too. */
const OWN_FAULT: ReadonlySet<string> = new Set(['ZYGOTE_FAILED', 'SANDBOX_DEAD', 'TIMEOUT']);

/** Limits for a zygote's answer: entries, submodules of each entry, and characters of an error. */
const MAX_IMPORTS = 1024;
const MAX_DROPPED = 256;
const MAX_ERROR = 2000;

const importShape = z.object({
  spec: z.string(),
  ms: z.number().transform((ms) => Math.min(ms, IMPORT_TIMEOUT_MS)),
  kb: z.number(),
  error: z
    .string()
    .transform((text) => text.slice(0, MAX_ERROR))
    .nullable(),
  dropped: z
    .array(z.unknown())
    .transform((list) => names(list, MAX_DROPPED))
    .default([]),
});
const readyShape = z.object({
  ok: z.boolean(),
  imports: z
    .array(z.unknown())
    .transform((list) => list.slice(0, MAX_IMPORTS))
    .pipe(z.array(importShape)),
  threads: z.number(),
  modules: z.number(),
});

export class ZygoteMaker {
  private readonly submodules: SubmoduleBook;

  constructor(private readonly options: MakerOptions) {
    this.submodules = options.submodules ?? new SubmoduleBook();
  }

  /**
   * Makes one zygote: forked from `parent`, or fresh for the root.
   *
   * @throws ArgyleError ZYGOTE_FAILED when the zygote must not be forked (a failed import, threads), MEMORY_EXHAUSTED,
   *   SANDBOX_*, HELPER_*, TIMEOUT. On failure everything is freed.
   */
  async make(
    spec: GroupSpec,
    parent: ZygoteProcess | undefined,
    onGone: (zygote: ZygoteProcess) => void,
  ): Promise<ZygoteProcess> {
    const { pool, slots, costOf } = this.options;
    const { submodules } = this;
    let guessMb = parent === undefined ? BASE_MB : BASE_MB / 4;
    for (const key of spec.imports.keys()) guessMb += costOf(key).mb;
    const lease = new Lease(await pool.acquire(Math.ceil(guessMb), 'zygote'));
    if (parent !== undefined) lease.descendFrom(parent);
    try {
      const slot = lease.hold(await slots.take(this.options.zygoteLimits));
      slot.log.origin.source = `zygote ${spec.id === '' ? 'root' : spec.id}`;
      const shown = { view: await slots.views.of(spec.path) };
      const submit =
        parent === undefined ? slot.spawn(Role.ZYGOTE, shown) : slot.forkFrom(parent.slot, Role.ZYGOTE, shown);
      const boot = {
        role: 'zygote' as const,
        sys_path: spec.path.map((path) => `/packages/${path}/files`),
        imports: [...spec.imports].map(([key, found]) => ({ ...found, submodules: [...submodules.of(key)] })),
      };
      const ahead = new Set(boot.imports.flatMap(({ submodules: names }) => names));
      const answer = askGuest(slot, boot, { timeoutMs: IMPORT_TIMEOUT_MS, what: `zygote "${spec.id}"` });
      const [, raw] = await Promise.all([submit, answer]);
      this.judge(spec, raw);
      const usage = await slot.usage();
      this.checkThreads(spec, usage.threads);
      const importMs = spec.pins.reduce((sum, key) => sum + costOf(key).ms, 0);
      const zygote = new ZygoteProcess({ slot, lease, parent, pins: spec.pins, importMs, submodules: ahead, onGone });
      zygote.setUsage(usage.memBytes);
      return zygote;
    } catch (error) {
      // POLICY: a failure first bans the submodules. The package itself is excluded only after it fails without them.
      const code = error instanceof ArgyleError ? error.code : '';
      if (OWN_FAULT.has(code)) for (const key of spec.imports.keys()) submodules.ban(key);
      await lease.free('the zygote could not be made');
      throw error;
    }
  }

  /** Records the measurements of a new zygote; throws when the zygote must not be forked. */
  private judge(spec: GroupSpec, raw: unknown): void {
    const parsed = readyShape.safeParse(raw);
    if (!parsed.success) throw new ArgyleError('ZYGOTE_FAILED', `zygote "${spec.id}": malformed answer`);
    const ready: ZygoteReady = parsed.data;
    const keyOf = new Map([...spec.imports].map(([key, { spec: name }]) => [name, key]));
    const failed: string[] = [];
    for (const { spec: name, ms, kb, error, dropped = [] } of ready.imports) {
      const key = keyOf.get(name);
      if (key === undefined) continue;
      this.submodules.drop(key, dropped);
      if (error === null) {
        // The zygote's report is untrusted; its memory cannot exceed its limit.
        const mostMb = this.options.zygoteLimits.memMb === 0 ? Infinity : this.options.zygoteLimits.memMb;
        this.options.onImported(key, { ms: Math.max(0, ms), mb: Math.min(mostMb, Math.max(0, kb / 1024)) });
      } else {
        failed.push(`${name}: ${error}`);
        // POLICY: a package whose import failed because the function does not pin a dependency is not excluded. Other
        // functions may pin the dependency.
        const { requiresOf } = this.options;
        if (requiresOf === undefined || !lacksNeeds(spec.pins, key, requiresOf)) this.options.onExclude(key, error);
      }
    }
    if (failed.length > 0) throw new ArgyleError('ZYGOTE_FAILED', `zygote "${spec.id}": ${failed.join('; ')}`);
    this.checkThreads(spec, ready.threads);
    if (!ready.ok) throw new ArgyleError('ZYGOTE_FAILED', `zygote "${spec.id}" could not start`);
  }

  /**
   * Rejects a process with threads: after a fork, a lock that another thread held would stay locked in the child.
   *
   * @param threads number of threads as the kernel counts them; the guest may not know all of them
   * @throws ArgyleError ZYGOTE_FAILED, after its packages are excluded
   */
  checkThreads(spec: GroupSpec, threads: number): void {
    if (threads <= 1) return;
    // POLICY: the package that started the threads is unknown, so all packages are excluded. If the zygote had imported
    // submodules, the submodules may be the cause. Then only the submodules are banned, and the packages get another
    // attempt.
    const suspects = [...spec.imports.keys()];
    const hadSubmodules = suspects.map((key) => this.submodules.ban(key)).includes(true);
    if (!hadSubmodules) for (const key of suspects) this.options.onExclude(key, `has ${threads} threads after import`);
    throw new ArgyleError('ZYGOTE_FAILED', `zygote "${spec.id}" has ${threads} threads and cannot be forked`);
  }
}
