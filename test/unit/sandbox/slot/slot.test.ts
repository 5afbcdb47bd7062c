/** The life of a slot, whatever its owner, its process and its helper do. Only the helper is a fake. */
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import type { HelperClient } from '../../../../src/helper/client';
import { Role } from '../../../../src/helper/protocol';
import { ArgyleError, type ErrorCode } from '../../../../src/errors';
import type { LogTap } from '../../../../src/sandbox/log-tap';
import { Slot } from '../../../../src/sandbox/slot/slot';
import type { SandboxExit } from '../../../../src/sandbox/types';
import { LIMITS, settle } from '../../../support/scripted-sandbox';

const ID = 7;
const PID = 4242;
const OPS = ['prespawn', 'spawn', 'fork', 'go', 'pause', 'resume', 'usage', 'weigh', 'limits'] as const;
type Op = (typeof OPS)[number];
type Step = Op | 'exit' | 'lose helper' | 'destroy' | 'turn';
/** The helper's answer to DESTROY. */
type Answer = 'ok' | ErrorCode;

class World {
  readonly orders: string[] = [];
  isGone = false;
  released = 0;
  logEnds = 0;
  exit: SandboxExit | undefined;
  private listener: ((event: { value: number[] } | undefined) => void) | undefined;
  readonly client = this as unknown as HelperClient;
  readonly slot: Slot;
  readonly source: Slot;

  constructor(private readonly answer: Answer = 'ok') {
    this.source = this.make(ID + 1);
    this.slot = this.make(ID);
    void this.slot.exited.then((exit) => (this.exit = exit));
  }

  async request(verb: string, { slot }: { slot: number }): Promise<{ value: number[] }> {
    if (this.isGone) throw new ArgyleError('HELPER_GONE', 'gone');
    if (slot === ID) this.orders.push(verb);
    await turn();
    if (verb === 'DESTROY' && this.answer !== 'ok') throw new ArgyleError(this.answer, 'not freed');
    return { value: [PID] };
  }
  onExit(slot: number, listener: (event: { value: number[] } | undefined) => void): void {
    if (slot === ID) this.listener = listener;
  }
  offExit(slot: number): void {
    if (slot === ID) this.listener = undefined;
  }

  run(step: Step): void {
    const { slot } = this;
    const done: Record<Step, () => unknown> = {
      prespawn: () => slot.prespawn(),
      spawn: () => slot.spawn(Role.LEAF, {}),
      fork: () => slot.forkFrom(this.source, Role.LEAF, {}),
      go: () => slot.go({}),
      pause: () => slot.pause(),
      resume: () => slot.resume(),
      usage: () => slot.usage(),
      weigh: () => {
        slot.weigh(this.orders.length + 1);
      },
      limits: () => {
        slot.orderLimits({ ...LIMITS, memMb: LIMITS.memMb + this.orders.length + 1 });
      },
      exit: () => this.listener?.({ value: [0, 1, PID, 0] }),
      'lose helper': () => {
        this.isGone = true;
        this.listener?.(undefined);
      },
      destroy: () => slot.destroy(),
      turn: () => undefined,
    };
    void Promise.resolve(done[step]()).catch(() => undefined);
  }

  private make(id: number): Slot {
    return new Slot({
      client: this.client,
      id,
      pool: 1,
      limits: LIMITS,
      log: { end: () => this.logEnds++ } as unknown as LogTap,
      socketPath: '/nowhere/argyle-test.sock',
      release: () => this.released++,
    });
  }
}

describe('Slot', () => {
  test('is freed once and orders nothing afterwards, in every order of events', async () => {
    const step = fc.constantFrom<Step>(...OPS, 'exit', 'lose helper', 'destroy', 'turn', 'turn');
    const answer = fc.constantFrom<Answer>('ok', 'HELPER_GONE', 'SANDBOX_STATE');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), answer, async (steps, reply) => {
        const world = new World(reply);
        const { slot, orders } = world;
        for (const [index, next] of steps.entries()) {
          const before = steps.slice(0, index);
          expect(slot.isUsable).toBe(!before.some((one) => ['exit', 'lose helper', 'destroy'].includes(one)));
          world.run(next);
          if (next === 'turn') await turn();
        }
        const given = slot.destroy();
        expect([slot.isUsable, slot.destroy()]).toEqual([false, given]);
        const ordered = orders.length;
        OPS.forEach((op) => {
          world.run(op);
        });
        await given;
        await settle();
        // No order follows DESTROY, and a helper that has ended gets none.
        const wasLost = steps.slice(0, [...steps, 'destroy'].indexOf('destroy')).includes('lose helper');
        expect([orders.indexOf('DESTROY'), orders.length]).toEqual([wasLost ? -1 : ordered - 1, ordered]);
        const end = wasLost || reply === 'HELPER_GONE' ? 'dropped' : reply === 'ok' ? 'emptied' : 'stuck';
        expect([slot.isEmptied, world.released]).toEqual([end === 'emptied', end === 'stuck' ? 0 : 1]);
        expect([world.logEnds, slot.exit]).toEqual([1, world.exit]);
      }),
      { numRuns: 300 },
    );
  });

  test('tells of the first end of its process or helper, and of none after it is freed', async () => {
    const world = new World();
    world.run('exit');
    world.run('lose helper');
    await turn();
    expect(world.exit).toEqual({ oomKills: 1, procsRefused: 0, status: 0 });
    const freed = new World();
    await freed.slot.destroy();
    freed.run('exit');
    await turn();
    expect([freed.exit, freed.slot.exit]).toEqual([undefined, undefined]);
  });

  test('a process that ended while it was being started does not make the slot usable', async () => {
    const world = new World();
    world.run('prespawn');
    world.run('exit');
    await settle();
    expect([world.slot.isUsable, world.slot.pid]).toEqual([false, PID]);
    // The order tells the helper's reason, as before the process ended.
    world.run('spawn');
    expect(world.orders).toEqual(['SPAWN', 'GO']);
  });

  test('a fresh leaf uses the process that was spawned ahead, once there is one', async () => {
    const world = new World();
    await world.slot.prespawn();
    await world.slot.spawn(Role.LEAF, {});
    expect(world.orders).toEqual(['SPAWN', 'GO']);
    const empty = new World();
    await empty.slot.spawn(Role.LEAF, {});
    expect(empty.orders).toEqual(['SPAWN']);
  });

  test('the zygote of a destroyed slot is not forked: another zygote may have its id', async () => {
    const world = new World();
    void world.source.destroy();
    await expect(world.slot.forkFrom(world.source, Role.LEAF, {})).rejects.toMatchObject({ code: 'ZYGOTE_FAILED' });
    expect(world.orders).toEqual([]);
  });

  test('a slot that the helper never made is given back without an order', async () => {
    const world = new World();
    await Promise.all([world.slot.discard(), world.slot.destroy()]);
    expect([world.orders, world.released, world.slot.isEmptied]).toEqual([[], 1, false]);
  });
});
