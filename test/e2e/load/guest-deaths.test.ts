/** Guests and zygotes are killed under load. Calls of other functions are served as before. */
import { setTimeout as sleep } from 'node:timers/promises';
import { deploy, invoke } from '../../support/deploy';
import { E2eWorker } from '../../support/spawned-worker';
import { Load, quantile, type Outcome } from '../../support/load';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';

const VM = process.env['ARGYLE_VM'] === '1';
jest.setTimeout(VM ? 600_000 : 120_000);

const PER_SECOND = VM ? 3 : 150;
/** Quiet phases and phases with deaths alternate, so that other load of the machine affects both. */
const ROUNDS = VM ? 2 : 5;
const PHASE_MS = VM ? 15_000 : 2_000;
const KILL_EVERY_MS = VM ? 4_000 : 500;
/** Bound of the 99th percentile while guests die, as a multiple of the quiet one. */
const MOST_TIMES = 3;
/**
 * Below this value, in ms, no ratio is judged. On a loaded machine with two processors, a process that waits for two or
 * three scheduler ticks already triples a quiet 99th percentile of some ms.
 */
const FLOOR_MS = VM ? 2_000 : 120;
/**
 * Longest call after the last death of a zygote, in ms. The zygote's back-off grows with each death and is 4 s by then.
 */
const SERVED_MS = VM ? 20_000 : 1_500;
const DEATHS = VM ? 3 : 7;

const ECHO = 'def f(event):\n    return event\n';
const LARGE = 'def f(event):\n    return "x" * (1 << 20)\n';
/** The function of the nth call. 15 calls per second have large answers. */
const TURNS = ['echo', 'hit', 'numbers', 'hit', 'large', 'echo', 'hit', 'numbers', 'echo', 'hit'] as const;
const of = (n: number): string => TURNS[n % TURNS.length] ?? '';
const BYSTANDERS = ['echo', 'numbers', 'large'];

describePrivileged('guests that die', () => {
  const worker = new E2eWorker({
    config: { features: { import_cache: 'tree' }, import_cache_tree: { packages: [], children: [] } },
  });
  beforeAll(async () => {
    await worker.init();
    await worker.up();
    for (const name of ['echo', 'numbers', 'hit', 'later']) await deploy(worker.url, { 'f.py': ECHO }, name);
    await deploy(worker.url, { 'f.py': LARGE }, 'large');
  });
  afterAll(() => worker.remove());

  const load = (): Load =>
    new Load({
      perSecond: PER_SECOND,
      call: (n) => ({ url: `${worker.url}/run/${of(n)}`, body: JSON.stringify({ n }) }),
    }).start();

  /** Host pids of the first processes of a function's sandboxes. */
  async function guestsOf(name: string): Promise<number[]> {
    const texts = (await (await fetch(`${worker.url}/debug`)).text()).split('--------\n');
    const mine = texts.filter((text) => text.includes(`-${name}\n`));
    return mine.flatMap((text) => /\(first (\d+)\)/.exec(text)?.slice(1).map(Number) ?? []);
  }

  /** Sends calls for some seconds. With `kill`, two guests of the function `hit` die per second. */
  async function phase(kill: boolean): Promise<{ outcomes: Outcome[]; killed: number }> {
    const running = load();
    const endMs = performance.now() + PHASE_MS;
    let killed = 0;
    while (performance.now() < endMs) {
      const pids = await guestsOf('hit');
      const pid = pids[Math.floor(Math.random() * pids.length)];
      if (kill && pid !== undefined) {
        process.kill(pid, 'SIGKILL');
        killed++;
      }
      await sleep(KILL_EVERY_MS);
    }
    return { outcomes: await running.stop(), killed };
  }

  it('keep no other function waiting', async () => {
    await phase(false);
    const quiet: Outcome[] = [];
    const troubled: Outcome[] = [];
    let killed = 0;
    for (let round = 0; round < ROUNDS; round++) {
      quiet.push(...(await phase(false)).outcomes);
      const found = await phase(true);
      troubled.push(...found.outcomes);
      killed += found.killed;
    }
    expect(killed).toBeGreaterThan(ROUNDS);
    // Only calls of the killed function may be lost. Each guest serves one call at a time.
    const failed = troubled.filter(({ status }) => status !== 200);
    expect(failed.filter(({ n }) => of(n) !== 'hit')).toEqual([]);
    expect(failed.length).toBeLessThanOrEqual(killed);
    for (const name of BYSTANDERS) {
      const times = (outcomes: Outcome[]): number[] => outcomes.filter(({ n }) => of(n) === name).map(({ ms }) => ms);
      const [before, during] = [quantile(times(quiet), 0.99), quantile(times(troubled), 0.99)];
      const medians = [quantile(times(quiet), 0.5), quantile(times(troubled), 0.5)]
        .map((ms) => ms.toFixed(1))
        .join(', ');
      process.stdout.write(
        `${name}: medians ${medians} ms, 99th percentiles ${before.toFixed(0)}, ${during.toFixed(0)} ms, ` +
          `ratio ${(during / before).toFixed(2)}; ${killed} guests killed\n`,
      );
      expect(during).toBeLessThan(Math.max(FLOOR_MS, MOST_TIMES * before));
    }
  });

  /** The load that may still run when a test fails. */
  let running: Load | undefined;
  afterEach(() => running?.stop());

  async function zygoteStates(): Promise<string[]> {
    const report = (await (await fetch(`${worker.url}/zygotes`)).json()) as { zygotes: { state: string }[] };
    return report.zygotes.map(({ state }) => state);
  }

  const zygote = (): number | undefined => {
    const helper = worker.helperPid();
    return worker.guests('zygote').find(({ ppid }) => ppid === helper)?.pid;
  };

  const isReady = async (): Promise<boolean> => (await zygoteStates()).includes('ready');

  /** Kills the zygote and waits for its end. A replacement that is made meanwhile is left alone. */
  async function killZygote(): Promise<void> {
    const pid = zygote();
    if (pid === undefined) return;
    process.kill(pid, 'SIGKILL');
    await until('it is gone', () => !worker.guests('zygote').some((guest) => guest.pid === pid));
  }

  it('are replaced by fresh ones while their zygote waits after its deaths', async () => {
    running = load();
    for (let death = 0; death < DEATHS; death++) {
      // A zygote that is killed before it is ready counts as failed, not as dead.
      await until('a zygote is ready', isReady, 60_000);
      await killZygote();
    }
    const times: number[] = [];
    for (let n = 0; n < 3; n++) {
      const startMs = performance.now();
      const answer = await invoke(worker.url, 'later', { n });
      times.push(performance.now() - startMs);
      expect([answer.status, JSON.parse(answer.body)]).toEqual([200, { n }]);
    }
    const isBack = await isReady();
    const outcomes = await running.stop();
    running = undefined;
    const longest = Math.max(...outcomes.map(({ ms }) => ms));
    const failed = outcomes.filter(({ status }) => status !== 200).length;
    process.stdout.write(
      `${DEATHS} deaths of the zygote: new calls took ${times.map((ms) => ms.toFixed(0)).join(', ')} ms, ` +
        `of ${outcomes.length} others ${failed} failed, the longest took ${longest.toFixed(0)} ms\n`,
    );
    if (!VM) expect(isBack).toBe(false);
    expect(Math.max(...times)).toBeLessThan(SERVED_MS);
    // The maximum is not compared: on a busy machine it may be as long without any death.
    expect(
      quantile(
        outcomes.map(({ ms }) => ms),
        0.99,
      ),
    ).toBeLessThan(2 * SERVED_MS);
  });
});
