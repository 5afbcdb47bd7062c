/** Zygotes whose parent ends while they wait. Only processes and slots are fakes. */
import { setTimeout as sleep } from 'node:timers/promises';
import { StatsRegistry } from '../../../../src/metrics';
import type { SandboxFactory } from '../../../../src/sandbox/factory';
import { Lease } from '../../../../src/sandbox/lease';
import { MemoryPool } from '../../../../src/sandbox/memory/memory-pool';
import type { Slot } from '../../../../src/sandbox/slot/slot';
import { ZygoteGroups } from '../../../../src/zygote/fleet/groups';
import type { GroupSpec, ZygoteMaker } from '../../../../src/zygote/fleet/zygote-maker';
import { ZygoteProcess } from '../../../../src/zygote/fleet/zygote-process';
import { below, ROOT } from '../../../../src/zygote/plan-tree';
import { startQueue, type StartQueue, type Turn } from '../../../../src/zygote/starts/queue';
import { until } from '../../../support/until';

const LIMITS = { memMb: 50, procs: 10, cpuPercent: 100, swapBytes: 0, scratchMb: 16 };
const PARENT = below(ROOT, new Map([['six==1', { spec: 'six==1.0', modules: ['six'] }]]));
const CHILD = below(PARENT, new Map([['attrs==1', { spec: 'attrs==1.0', modules: ['attrs'] }]]));
const HEAVY = { id: 'heavy', estimate: () => ({ ownMs: 500 }), makeZygote: () => Promise.resolve() };

function slot(): Slot {
  let ended = (): void => undefined;
  const exited = new Promise<void>((resolve) => (ended = resolve));
  const made = {
    id: 1,
    pid: 1,
    isUsable: true,
    limits: { memMb: 0 },
    exited,
    destroy: () => {
      made.isUsable = false;
      ended();
      return Promise.resolve();
    },
  };
  return made as unknown as Slot;
}

describe('a zygote that waits for its turn', () => {
  let starts: StartQueue;
  let groups: ZygoteGroups;
  const made: string[] = [];

  beforeEach(() => {
    made.length = 0;
    const stats = new StatsRegistry();
    const pool = new MemoryPool({ totalMb: 1000, timeoutMs: 1000, stats });
    starts = startQueue(1);
    const maker = {
      make: async (spec: GroupSpec, parent: ZygoteProcess | undefined, onGone: (gone: ZygoteProcess) => void) => {
        const lease = new Lease(await pool.acquire(1));
        if (parent !== undefined) lease.descendFrom(parent);
        made.push(spec.id);
        return new ZygoteProcess({ slot: lease.hold(slot()), lease, parent, pins: spec.pins, importMs: 1, onGone });
      },
    } as unknown as ZygoteMaker;
    const packages = { installedVersion: () => undefined };
    const factory = {} as unknown as SandboxFactory;
    groups = new ZygoteGroups({ pool, factory, stats, packages, leafLimits: LIMITS, starts }, maker);
  });
  afterEach(() => groups.close());

  const isReady = (spec: GroupSpec): boolean => groups.get(spec.id)?.processes.some((one) => one.isReady) ?? false;
  const heavyTurn = (): Promise<Turn | undefined> =>
    Promise.resolve(starts.enter('f', HEAVY, { isWanted: () => true, onTurn: () => undefined }));

  test('lets its evicted parent be made first, and releases its own turn meanwhile', async () => {
    groups.ensure(ROOT, 1);
    groups.ensure(PARENT, 1);
    await until('the parent is ready', () => isReady(PARENT));
    const turn = await heavyTurn();
    groups.ensure(CHILD, 1);
    await sleep(50);
    await groups.get(PARENT.id)?.processes[0]?.reclaim();
    await until('the parent is evicted', () => !isReady(PARENT));
    turn?.leave();
    await until('the child is ready', () => isReady(CHILD), 3000);
    expect(made).toEqual([ROOT.id, PARENT.id, PARENT.id, CHILD.id]);
    expect(isReady(PARENT)).toBe(true);
    // All turns are free again.
    (await heavyTurn())?.leave();
    expect(starts.running).toBe(0);
  });
});
