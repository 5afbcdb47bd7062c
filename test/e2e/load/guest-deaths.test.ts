/** Guests and zygotes are killed under load. Calls of other functions are served as before. */
import { setTimeout as sleep } from 'node:timers/promises';
import { deploy, invoke } from '../../support/deploy';
import { E2eWorker, ROOT_ZYGOTE } from '../../support/spawned-worker';
import { ECHO } from '../../support/lambdas';
import { compare, failures, Load, quantile, times, type Outcome } from '../../support/load';
import { describePrivileged } from '../../support/privileged';
import { guestPids, zygotes } from '../../support/reports';
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

const LARGE = 'def f(event):\n    return "x" * (1 << 20)\n';
/** The function of the nth call. 15 calls per second have large answers. */
const TURNS = ['echo', 'hit', 'numbers', 'hit', 'large', 'echo', 'hit', 'numbers', 'echo', 'hit'] as const;
const of = (n: number): string => TURNS[n % TURNS.length] ?? '';
const BYSTANDERS = ['echo', 'numbers', 'large'];

describePrivileged('guests that die', () => {
  const worker = new E2eWorker({
    config: ROOT_ZYGOTE,
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

  /** Sends calls for some seconds. With `kill`, two guests of the function `hit` die per second. */
  async function phase(kill: boolean): Promise<{ outcomes: Outcome[]; killed: number }> {
    const running = load();
    const endMs = performance.now() + PHASE_MS;
    let killed = 0;
    while (performance.now() < endMs) {
      const pids = await guestPids(worker.url, 'hit');
      const pid = pids[Math.floor(Math.random() * pids.length)];
      if (kill && pid !== undefined) {
        process.kill(pid, 'SIGKILL');
        killed++;
      }
      await sleep(KILL_EVERY_MS);
    }
    return { outcomes: await running.stop(), killed };
  }

  it('do not delay the calls of other functions', async () => {
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
    const failed = failures(troubled);
    expect(failed.filter(({ n }) => of(n) !== 'hit')).toEqual([]);
    expect(failed.length).toBeLessThanOrEqual(killed);
    for (const name of BYSTANDERS) {
      const own = (outcomes: Outcome[]): number[] => times(outcomes.filter(({ n }) => of(n) === name));
      const medians = compare('medians', 0.5, own(quiet), own(troubled));
      const p99s = compare('99th percentiles', 0.99, own(quiet), own(troubled));
      process.stdout.write(`${name}: ${medians.text}, ${p99s.text}; ${killed} guests killed\n`);
      expect(p99s.during).toBeLessThan(Math.max(FLOOR_MS, MOST_TIMES * p99s.before));
    }
  });

  /** The load that may still run when a test fails. */
  let running: Load | undefined;
  afterEach(() => running?.stop());

  const zygote = (): number | undefined => {
    const helper = worker.helperPid();
    return worker.guests('zygote').find(({ ppid }) => ppid === helper)?.pid;
  };

  const isReady = async (): Promise<boolean> => (await zygotes(worker.url)).some(({ state }) => state === 'ready');

  /** Kills the zygote as soon as it is ready, and waits for its end. */
  async function killZygote(): Promise<void> {
    let pid: number | undefined;
    // The report may still call a zygote ready whose end the worker has not noticed. Such a zygote has no process.
    const isThere = async (): Promise<boolean> => {
      pid = zygote();
      return pid !== undefined && (await isReady()) && zygote() === pid;
    };
    // A zygote that is killed before it is ready counts as failed, not as dead.
    await until('a zygote is ready', isThere, 60_000);
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    await until('it is gone', () => !worker.guests('zygote').some((guest) => guest.pid === pid));
  }

  it("are replaced by fresh guests during the zygote's back-off", async () => {
    running = load();
    for (let death = 0; death < DEATHS; death++) await killZygote();
    const tookMs: number[] = [];
    for (let n = 0; n < 3; n++) {
      const startMs = performance.now();
      const answer = await invoke(worker.url, 'later', { n });
      tookMs.push(performance.now() - startMs);
      expect([answer.status, JSON.parse(answer.body)]).toEqual([200, { n }]);
    }
    const isBack = await isReady();
    const outcomes = await running.stop();
    running = undefined;
    const longest = Math.max(...times(outcomes));
    const failed = failures(outcomes).length;
    process.stdout.write(
      `${DEATHS} deaths of the zygote: new calls took ${tookMs.map((ms) => ms.toFixed(0)).join(', ')} ms, ` +
        `of ${outcomes.length} others ${failed} failed, the longest took ${longest.toFixed(0)} ms\n`,
    );
    if (!VM) expect(isBack).toBe(false);
    expect(Math.max(...tookMs)).toBeLessThan(SERVED_MS);
    // The maximum is not compared: on a busy machine it may be as long without any death.
    expect(quantile(times(outcomes), 0.99)).toBeLessThan(2 * SERVED_MS);
  });
});
