/**
 * Invariant 5 of SECURITY.md: a zygote serves only functions whose requirements contain every package, name and
 * version, that it has imported. The test uses random trees, requirements, changing indexes and wrong dependencies.
 * Matching, planning, policy, groups and provider are real; only the processes are fakes. The test records the imports
 * of a process when it is made, from the contents of a fake disk, and checks them without the code under test.
 */
import fc from 'fast-check';
import type { ImportCache, ZygoteNode } from '../../../../src/config/types';
import { StatsRegistry } from '../../../../src/metrics';
import type { LeafHooks, SandboxFactory } from '../../../../src/sandbox/factory';
import type { BootInfo } from '../../../../src/sandbox/answer/boot-report';
import { Lease } from '../../../../src/sandbox/lease';
import { MemoryPool } from '../../../../src/sandbox/memory/memory-pool';
import type { Slot } from '../../../../src/sandbox/slot/slot';
import type { LeafSpec, PackageImport, Sandbox, SandboxLimits } from '../../../../src/sandbox/types';
import type { GroupSpec, ZygoteMaker } from '../../../../src/zygote/fleet/zygote-maker';
import { ZygoteGroups } from '../../../../src/zygote/fleet/groups';
import { ZygoteProcess } from '../../../../src/zygote/fleet/zygote-process';
import { treeReplicas } from '../../../../src/zygote/policy/lookup';
import { ColdStartRecorder } from '../../../../src/zygote/learn/cold-start';
import { PopularityPlanner } from '../../../../src/zygote/plan-popularity';
import { StaticPlan } from '../../../../src/zygote/plan-static';
import { ROOT, TreePlanner } from '../../../../src/zygote/plan-tree';
import { ZygoteProvider } from '../../../../src/zygote/provider';
import { StartProfiles } from '../../../../src/zygote/starts/start-profiles';
import { startQueue } from '../../../../src/zygote/starts/queue';
import { PopularityTracker } from '../../../../src/zygote/learn/tracker';
import { flatten } from '../../../../src/zygote/policy/tree';

jest.setTimeout(120_000);

/** One way to write a requirement. The meaning of one without a version depends on the disk. */
interface Written {
  text: string;
  name: string;
  version?: string;
}

const NAMES = ['numpy', 'my-pkg', 'six', 'evil'];
const WRITTEN: Written[] = NAMES.flatMap((name) => [
  ...['1.0', '2.0'].flatMap((version) => [
    { text: `${name}==${version}`, name, version },
    { text: `${name.toUpperCase().replace('-', '_')}==${version}.0`, name, version },
  ]),
  { text: name, name },
  { text: `${name}>=1`, name },
]);
const BY_TEXT = new Map(WRITTEN.map((written) => [written.text, written]));
const LIMITS: SandboxLimits = { memMb: 50, procs: 10, cpuPercent: 100, swapBytes: 0, scratchMb: 16 };

type Step =
  | { kind: 'start'; requirements: Written[]; keep: boolean }
  | { kind: 'disk'; written: Written; version: string | undefined }
  | { kind: 'tick' }
  | { kind: 'die'; which: number };

const requirements = fc.uniqueArray(fc.constantFrom(...WRITTEN), { maxLength: 5, selector: ({ text }) => text });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('start'), requirements, keep: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('disk'),
      written: fc.constantFrom(...WRITTEN.filter(({ version }) => version === undefined)),
      version: fc.constantFrom('1.0', '2.0', undefined),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('tick') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('die'), which: fc.nat(20) }) },
);
const packages = fc.array(fc.constantFrom(...WRITTEN.map(({ text }) => text)), { maxLength: 2 });
const treeOf = (depth: number): fc.Arbitrary<ZygoteNode> =>
  fc.record({ packages, children: depth === 0 ? fc.constant([]) : fc.array(treeOf(depth - 1), { maxLength: 3 }) });
const tree = treeOf(3);
/** Declared dependencies of packages, which may be wrong. */
const lies = fc.dictionary(fc.constantFrom(...WRITTEN.map(({ text }) => text)), packages);

class World {
  readonly disk = new Map<string, string | undefined>();
  readonly groups: ZygoteGroups;
  readonly provider: ZygoteProvider;
  readonly popularity: PopularityPlanner | undefined;
  /** Number of forks and spares with imports. The test requires some. */
  served = 0;
  /** Recorded here, because the provider would take a thrown error for a failure of the process. */
  readonly violations: { uncalledFor: string[]; asked: string[] }[] = [];
  /** Packages that the process in a slot has imported. */
  private readonly imported = new Map<Slot, ReadonlySet<string>>();
  private readonly leaving: (() => void)[] = [];
  private slots = 0;

  constructor(
    mode: ImportCache,
    root: ZygoteNode,
    private readonly lies: Record<string, string[]>,
  ) {
    const stats = new StatsRegistry();
    const pool = new MemoryPool({ totalMb: 100_000, timeoutMs: 1000, stats });
    const factory = {
      fresh: (_spec: LeafSpec, hooks: LeafHooks) => {
        hooks.onBoot?.({ importMs: 300, specs: [] } as unknown as BootInfo);
        return Promise.resolve({} as Sandbox);
      },
      fork: (source: Slot, spec: LeafSpec, hooks: LeafHooks) => this.serve(source, spec, hooks),
      park: (source: Slot) => Promise.resolve(this.slot(this.imported.get(source) ?? new Set())),
      go: (spare: Slot, spec: LeafSpec, _pid: number, _lease: unknown, hooks: LeafHooks) =>
        this.serve(spare, spec, hooks),
    } as unknown as SandboxFactory;
    const maker = {
      make: async (spec: GroupSpec, parent: ZygoteProcess | undefined, onGone: (gone: ZygoteProcess) => void) => {
        const lease = new Lease(await pool.acquire(1));
        if (parent !== undefined) lease.descendFrom(parent);
        const own = [...spec.path, ...[...spec.imports.values()].map((found) => found.spec)].map((t) => this.means(t));
        const above = parent === undefined ? [] : [...(this.imported.get(parent.slot) ?? [])];
        const slot = this.slot(new Set([...above, ...own]));
        return new ZygoteProcess({ slot, lease, parent, pins: spec.pins, importMs: 100 * spec.pins.length, onGone });
      },
      checkThreads: () => undefined,
    } as unknown as ZygoteMaker;
    const tracker = new PopularityTracker();
    const packages = {
      installedVersion: (text: string) => this.version(text),
      resolveForZygote: (specs: readonly string[]) =>
        Promise.resolve([...specs, ...specs.flatMap((text) => this.lies[text] ?? [])].map(found)),
      // The metadata are wrong, too. They may speed up a choice and must not widen it.
      dependenciesOf: ({ spec }: { spec: string }) => this.lies[spec]?.map((other) => other.split(/[=>]/)[0] ?? other),
    };
    const nodes = flatten({ ...root, packages: [] });
    const excluded = (): boolean => false;
    const isTree = mode !== 'popularity';
    const starts = startQueue(2);
    this.groups = new ZygoteGroups({ pool, factory, stats, packages, leafLimits: LIMITS, starts }, maker);
    this.popularity = isTree ? undefined : new PopularityPlanner({ tracker, groups: this.groups, budgetMb: 10_000 });
    const groups = this.groups;
    const tree = new TreePlanner({ nodes, packages, costOf: tracker.costs.of, excluded });
    const replicas = Math.min(2, treeReplicas(mode, 1));
    const plan = this.popularity ?? new StaticPlan({ groups, stats, tree, replicas, sparesPerZygote: 1 });
    this.provider = new ZygoteProvider({
      mode,
      factory,
      groups,
      stats,
      packages,
      costOf: tracker.costs.of,
      starts,
      kinds: new StartProfiles({ groups, tracker, pool, makes: !isTree }),
      recorder: new ColdStartRecorder({ tracker, packages, plan }),
      plan,
      budgetMb: 0,
    });
    this.groups.ensure(ROOT, 1);
  }

  async run(next: Step): Promise<void> {
    if (next.kind === 'start') await this.start(next.requirements, next.keep);
    if (next.kind === 'disk') this.disk.set(next.written.text, next.version);
    if (next.kind === 'tick') this.popularity?.tick();
    if (next.kind === 'die') {
      const all = this.groups.list().flatMap(({ processes }) => processes);
      void all[next.which % Math.max(1, all.length)]?.end();
    }
    for (let turn = 0; turn < 4; turn++) await new Promise(setImmediate);
  }

  async close(): Promise<void> {
    this.popularity?.stop();
    for (const leave of this.leaving) leave();
    await this.groups.close();
  }

  private async start(wanted: readonly Written[], keep: boolean): Promise<void> {
    // The function's packages are installed before it requests a sandbox.
    for (const { text, version } of wanted)
      if (version === undefined && !this.disk.has(text)) this.disk.set(text, '1.0');
    const boot = { role: 'leaf', name: 'f', runtime: 'python', entry_file: 'f.py', sys_path: [], env: {} };
    const spec = { boot, codeName: '1', limits: LIMITS, packages: wanted.map(({ text }) => found(text)), keep };
    await this.provider.create(spec as unknown as LeafSpec);
  }

  /** A leaf is forked from this slot. Its function must require everything that was imported there. */
  private serve(source: Slot, spec: LeafSpec, hooks: LeafHooks): Promise<Sandbox> {
    const asked = new Set(spec.packages.map(({ spec: text }) => this.means(text)));
    const imported = [...(this.imported.get(source) ?? ['a process that nobody made'])];
    const uncalledFor = imported.filter((one) => !asked.has(one));
    if (uncalledFor.length > 0) this.violations.push({ uncalledFor, asked: [...asked] });
    if (imported.length > 0) this.served++;
    hooks.onBoot?.({ importMs: 300, specs: [] } as unknown as BootInfo);
    if ((spec as unknown as { keep: boolean }).keep) this.leaving.push(() => hooks.onDestroyed?.());
    else hooks.onDestroyed?.();
    return Promise.resolve({} as Sandbox);
  }

  /** Name and version of the package in a spec's directory now. An unknown version equals no other version. */
  private means(text: string): string {
    return `${BY_TEXT.get(text)?.name ?? '?'} ${this.version(text) ?? `in ${text}`}`;
  }

  private version(text: string): string | undefined {
    return BY_TEXT.get(text)?.version ?? this.disk.get(text);
  }

  private slot(imported: ReadonlySet<string>): Slot {
    let ended = (): void => undefined;
    const exited = new Promise<void>((resolve) => (ended = resolve));
    const slot = {
      id: ++this.slots,
      pid: 1,
      isUsable: true,
      limits: { memMb: 0 },
      exited,
      usage: () => Promise.resolve({ memBytes: 1, threads: 1 }),
      destroy: () => {
        slot.isUsable = false;
        ended();
        return Promise.resolve();
      },
    };
    this.imported.set(slot as unknown as Slot, imported);
    return slot as unknown as Slot;
  }
}

function found(text: string): PackageImport {
  return { spec: text, modules: [] };
}

describe('a zygote serves only functions that require all of its imports', () => {
  it.each([
    ['tree', 300],
    ['multitree', 150],
    ['popularity', 200],
  ] as const)('%s', async (mode, numRuns) => {
    let served = 0;
    await fc.assert(
      fc.asyncProperty(tree, lies, fc.array(step, { minLength: 8, maxLength: 25 }), async (root, liesOf, steps) => {
        const world = new World(mode, root, liesOf);
        try {
          for (const next of steps) await world.run(next);
          expect(world.violations).toEqual([]);
        } finally {
          await world.close();
        }
        served += world.served;
      }),
      { numRuns },
    );
    expect(served).toBeGreaterThan(numRuns / 10);
  });
});
