/** The life of a container, whatever its owner, its guest and its engine do. Only the engine is a fake. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { Container, SocketDir } from '../../../../src/sandbox/docker/container';
import type { Engine } from '../../../../src/sandbox/docker/engine';
import type { SandboxExit } from '../../../../src/sandbox/types';
import { LIMITS, settle } from '../../../support/scripted-sandbox';

const SETTINGS = { image: 'ol-min', runtime: '', workerDir: '/w', guestDir: '/opt/guest', storeDir: '/w/.store' };
const REQUEST = { role: 'leaf' as const, limits: LIMITS, network: 'none', user: { uid: 1, gid: 1 } };

/** An engine with one container. Each call takes a turn of the event loop. */
class FakeEngine {
  readonly calls: string[] = [];
  /** Ends the guest. */
  end: (code: number) => void = () => undefined;
  private readonly ended = new Promise<number>((resolve) => (this.end = resolve));

  constructor(
    private readonly failing: string,
    private readonly removes: boolean,
  ) {}

  async create(): Promise<string> {
    await this.call('create');
    return 'id';
  }
  start(): Promise<void> {
    return this.call('start');
  }
  wait(): Promise<number> {
    return this.ended;
  }
  async inspect(): Promise<object> {
    await turn();
    return { State: { Pid: 42, OOMKilled: false, Running: true, Paused: false } };
  }
  async remove(): Promise<boolean> {
    await this.call('remove');
    if (this.removes) this.end(137);
    return this.removes;
  }

  private async call(name: string): Promise<void> {
    this.calls.push(name);
    await turn();
    if (this.failing === name) throw new Error(`cannot ${name}`);
  }
}

describe('Container', () => {
  const dir = mkdtempSync(join(tmpdir(), 'argyle-container-'));
  const sockets = new SocketDir(dir);
  afterAll(() => {
    sockets.close();
    rmSync(dir, { recursive: true });
  });
  const make = (engine: FakeEngine): Promise<Container> =>
    Container.make({ engine: engine as unknown as Engine, settings: SETTINGS, sockets, log: undefined });

  test('is removed once, and reports only an end before destroy(), in every order of events', async () => {
    type Step = 'start' | 'end' | 'destroy' | 'turn';
    const step = fc.constantFrom<Step>('end', 'destroy', 'turn', 'turn', 'turn');
    const failing = fc.constantFrom('nothing', 'create', 'start');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 8 }), failing, fc.boolean(), async (rest, fails, removes) => {
        const engine = new FakeEngine(fails, removes);
        const container = await make(engine);
        let told: SandboxExit | undefined;
        void container.exited.then((exit) => (told = exit));
        let given: Promise<void> | undefined;
        const run: Record<Step, () => unknown> = {
          start: () => void container.start(REQUEST).catch(() => undefined),
          end: () => {
            engine.end(3);
          },
          destroy: () => (given = container.destroy()),
          turn,
        };
        for (const next of ['start', ...rest] as Step[]) await (next === 'destroy' ? void run[next]() : run[next]());
        await settle();
        const [known, before] = [container.exit, given];
        // The guest started and ended, and nobody destroyed the container before.
        if (before === undefined) expect(known !== undefined).toBe(rest.includes('end') && fails === 'nothing');
        else expect(container.destroy()).toBe(before);
        await container.destroy();
        engine.end(3);
        await settle();
        expect([container.exit, told]).toEqual([known, known]);
        if (known !== undefined) expect(known).toEqual({ oomKills: 0, status: 3 << 8 });
        const isMade = fails !== 'create';
        expect(engine.calls.filter((call) => call === 'remove')).toHaveLength(isMade ? 1 : 0);
        expect([engine.calls.at(-1) === 'remove', container.isEmptied]).toEqual([isMade, removes || !isMade]);
        await expect(container.connect()).rejects.toMatchObject({ code: 'SANDBOX_DEAD' });
      }),
      { numRuns: 100 },
    );
  });

  test('one that is destroyed during its creation is not started, and is removed by its id', async () => {
    const engine = new FakeEngine('nothing', true);
    const container = await make(engine);
    const started = container.start(REQUEST);
    const destroyed = container.destroy();
    expect(container.isEmptied).toBe(false);
    await expect(started).rejects.toMatchObject({ code: 'SANDBOX_DEAD' });
    await destroyed;
    expect([engine.calls, container.isEmptied]).toEqual([['create', 'remove'], true]);
  });
});
