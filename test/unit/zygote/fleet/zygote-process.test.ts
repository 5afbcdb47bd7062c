/** The life of a zygote, whatever its group, its forks and its process do. Only its slot is a fake. */
import fc from 'fast-check';
import { Lease } from '../../../../src/sandbox/lease';
import type { Slot } from '../../../../src/sandbox/slot/slot';
import { ZygoteProcess } from '../../../../src/zygote/fleet/zygote-process';
import { settle } from '../../../support/scripted-sandbox';

type Step = 'fork' | 'failed fork' | 'leaf ends' | 'drain' | 'revive' | 'condemn' | 'end' | 'process ends';
const STEPS: Step[] = ['fork', 'failed fork', 'leaf ends', 'drain', 'revive', 'condemn', 'end', 'process ends'];

class World {
  destroyed = 0;
  gone = 0;
  drops = 0;
  readonly leaves: Lease[] = [];
  readonly zygote: ZygoteProcess;
  private readonly slot = { id: 1, isUsable: true, limits: { memMb: 0 }, exited: Promise.resolve() };
  private ended: () => void = () => undefined;

  constructor() {
    this.slot.exited = new Promise((resolve) => (this.ended = resolve));
    const lease = new Lease();
    lease.hold({
      destroy: () => {
        this.destroyed++;
        this.processEnds();
        return Promise.resolve();
      },
    });
    const slot = this.slot as unknown as Slot;
    const onGone = (): number => this.gone++;
    this.zygote = new ZygoteProcess({ slot, lease, parent: undefined, pins: [], importMs: 1, onGone });
    const drop = (): Promise<void> => {
      this.drops++;
      return Promise.resolve();
    };
    this.zygote.spares = { size: 0, setTarget: () => undefined, take: () => undefined, drop };
  }

  async run(step: Step): Promise<void> {
    const { zygote } = this;
    if (step === 'fork' && zygote.isReady) this.leaves.push(await this.fork(false));
    else if (step === 'failed fork' && zygote.isReady) await this.fork(true);
    else if (step === 'leaf ends') await this.leaves.pop()?.free('test');
    else if (step === 'drain') await zygote.drain();
    else if (step === 'revive') zygote.revive();
    else if (step === 'condemn') zygote.condemn();
    else if (step === 'end') await zygote.end();
    else if (step === 'process ends') this.processEnds();
    await settle();
  }

  /** @param meanwhile called while the fork is in flight */
  async fork(fails: boolean, meanwhile: () => Promise<void> = () => Promise.resolve()): Promise<Lease> {
    const lease = new Lease();
    lease.descendFrom(this.zygote);
    this.zygote.inFlight++;
    await meanwhile();
    // SandboxFactory.park() frees the lease of a fork that failed before its caller learns of the failure.
    if (fails) await lease.free('it could not be forked');
    this.zygote.inFlight--;
    return lease;
  }

  private processEnds(): void {
    this.slot.isUsable = false;
    this.ended();
  }
}

/** What should have become of the zygote. */
interface Model {
  phase: 'serving' | 'draining' | 'unfit' | 'ended' | 'killed';
  leaves: number;
}

function expected(model: Model, step: Step): void {
  const { phase } = model;
  if (phase === 'ended' || phase === 'killed') {
    if (step === 'leaf ends') model.leaves = Math.max(0, model.leaves - 1);
    return;
  }
  if (step === 'fork' && phase === 'serving') model.leaves++;
  if (step === 'leaf ends' && model.leaves > 0) model.leaves--;
  if (step === 'drain' && phase === 'serving') model.phase = 'draining';
  if (step === 'revive' && phase === 'draining') model.phase = 'serving';
  if (step === 'condemn') model.phase = 'unfit';
  if (step === 'end') model.phase = 'ended';
  if (step === 'process ends') model.phase = phase === 'serving' ? 'killed' : 'ended';
  // A zygote out of service ends when drain() or the end of a leaf finds no descendant.
  const looks = step === 'drain' || step === 'leaf ends';
  if (looks && model.leaves === 0 && model.phase !== 'serving' && model.phase !== 'killed') model.phase = 'ended';
}

describe('ZygoteProcess', () => {
  test('is freed once, is killed only in service, and is revived only before its end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...STEPS), { maxLength: 12 }), async (steps) => {
        const world = new World();
        const model: Model = { phase: 'serving', leaves: 0 };
        for (const step of steps) {
          const had = world.leaves.length;
          await world.run(step);
          if (step !== 'leaf ends' || had > 0) expected(model, step);
          const { zygote } = world;
          const isOver = model.phase === 'ended' || model.phase === 'killed';
          expect([step, zygote.isReady, zygote.draining, zygote.wasKilled, world.gone, world.destroyed]).toEqual([
            step,
            model.phase === 'serving',
            model.phase !== 'serving',
            model.phase === 'killed',
            isOver ? 1 : 0,
            isOver ? 1 : 0,
          ]);
          expect(zygote.candidate(Date.now()) !== undefined).toBe(!isOver && model.leaves === 0);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('ends after its last fork has failed, when it was taken out of service meanwhile', async () => {
    const world = new World();
    await world.fork(true, () => world.run('drain'));
    await settle();
    expect([world.gone, world.destroyed]).toEqual([1, 1]);
  });

  test('does not end when it is revived while its spares are dropped', async () => {
    const world = new World();
    const drained = world.zygote.drain();
    world.zygote.revive();
    await drained;
    expect([world.zygote.isReady, world.gone, world.drops]).toEqual([true, 0, 1]);
  });
});
