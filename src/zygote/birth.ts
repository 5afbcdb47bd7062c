/** How one zygote comes into the world: a slot, a process, its imports, and the judgement whether it may be forked. */
import { z } from 'zod';
import { Role } from '../helper/protocol';
import { ArgyleError } from '../errors';
import { names } from '../sandbox/answer/boot-report';
import { askGuest } from '../sandbox/boot';
import type { MemoryPool } from '../sandbox/pool';
import { MEGABYTE, type Slot } from '../sandbox/slot';
import type { SlotPool } from '../sandbox/slots';
import type { PackageImport, SandboxLimits, ZygoteReady } from '../sandbox/types';
import { ZygoteProcess } from './live';
import { SubmoduleBook } from './submodules';
import type { CostOf, ImportCost, PinKey } from './types';

/** What a group's zygotes import. */
export interface GroupSpec {
  /** Sorted pins joined by `,`; '' for the root. */
  readonly id: string;
  readonly parent: string | undefined;
  /** Ancestors' packages included; sorted. */
  readonly pins: readonly PinKey[];
  /** What it imports itself, dependencies first, by key. */
  readonly imports: ReadonlyMap<PinKey, PackageImport>;
  /** Specs on its sys.path: its own and its ancestors'. */
  readonly path: readonly string[];
}

export interface MakerOptions {
  slots: SlotPool;
  pool: MemoryPool;
  /** Limits of a zygote's own slot. */
  zygoteLimits: SandboxLimits;
  costOf: CostOf;
  /** What is imported besides the packages; nothing by default. */
  submodules?: SubmoduleBook;
  /** Told what importing one package cost. */
  onImported: (key: PinKey, cost: ImportCost) => void;
  /** Told that a package must not be in a zygote. */
  onExclude: (key: PinKey, reason: string) => void;
}

/** Longest time for a zygote to import what it should, ms. */
const IMPORT_TIMEOUT_MS = 60_000;
/** Charged while a zygote is made, MB, beyond what its imports are known to need. */
const BASE_MB = 12;

/** What a zygote's imports may have brought about; anything else would happen to another one too. */
const OWN_FAULT: ReadonlySet<string> = new Set(['ZYGOTE_FAILED', 'SANDBOX_DEAD', 'TIMEOUT']);

/** Of a zygote's answer: entries that are read, submodules of each, and characters of an error. */
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
   * Makes one zygote: forked from `parent`, or fresh when it is the root.
   *
   * @throws ArgyleError ZYGOTE_FAILED when it must not be forked (a failed import, threads), MEMORY_EXHAUSTED,
   *   SANDBOX_*, HELPER_*, TIMEOUT. Nothing is left of it then.
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
    const charge = await pool.acquire(Math.ceil(guessMb));
    let slot: Slot | undefined;
    // The parent must not end while its child is being made.
    parent?.retain();
    try {
      slot = await slots.take(this.options.zygoteLimits);
      slot.log.source = `zygote ${spec.id === '' ? 'root' : spec.id}`;
      const submit = parent === undefined ? slot.spawn(Role.ZYGOTE, '') : slot.forkFrom(parent.slot, Role.ZYGOTE, '');
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
      const zygote = new ZygoteProcess({ slot, charge, parent, pins: spec.pins, importMs, submodules: ahead, onGone });
      zygote.setUsage(Math.max(1, Math.ceil(usage.memBytes / MEGABYTE)));
      return zygote;
    } catch (error) {
      // POLICY: a package is not judged by its submodules; it is tried without them before anything is held against it.
      const code = error instanceof ArgyleError ? error.code : '';
      if (OWN_FAULT.has(code)) for (const key of spec.imports.keys()) submodules.ban(key);
      await slot?.destroy();
      charge.release();
      throw error;
    } finally {
      parent?.release();
    }
  }

  /** Notes what a new zygote measured; throws when it must not be forked. */
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
        // What it claims beyond its own limit it cannot have.
        const mostMb = this.options.zygoteLimits.memMb === 0 ? Infinity : this.options.zygoteLimits.memMb;
        this.options.onImported(key, { ms: Math.max(0, ms), mb: Math.min(mostMb, Math.max(0, kb / 1024)) });
      } else {
        failed.push(`${name}: ${error}`);
        this.options.onExclude(key, error);
      }
    }
    if (failed.length > 0) throw new ArgyleError('ZYGOTE_FAILED', `zygote "${spec.id}": ${failed.join('; ')}`);
    this.checkThreads(spec, ready.threads);
    if (!ready.ok) throw new ArgyleError('ZYGOTE_FAILED', `zygote "${spec.id}" could not start`);
  }

  /**
   * A process with threads must not be forked: a lock that another thread holds would stay locked in the child.
   *
   * @param threads as the kernel counts them; the guest itself may not know.
   * @throws ArgyleError ZYGOTE_FAILED, after having its packages excluded.
   */
  checkThreads(spec: GroupSpec, threads: number): void {
    if (threads <= 1) return;
    // POLICY: which of several started the threads is not known, so none of them is imported ahead again; where there
    // were submodules it may have been these, and the packages get another chance without them.
    const suspects = [...spec.imports.keys()];
    const hadSubmodules = suspects.map((key) => this.submodules.ban(key)).includes(true);
    if (!hadSubmodules) for (const key of suspects) this.options.onExclude(key, `has ${threads} threads after import`);
    throw new ArgyleError('ZYGOTE_FAILED', `zygote "${spec.id}" has ${threads} threads and cannot be forked`);
  }
}
