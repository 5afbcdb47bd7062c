/** The helper is killed 20 times while 150 calls per second arrive. */
import { setTimeout as sleep } from 'node:timers/promises';
import { deploy } from '../../support/deploy';
import { ECHO } from '../../support/lambdas';
import { E2eWorker, ROOT_ZYGOTE } from '../../support/spawned-worker';
import { failures, Load, quantile, times } from '../../support/load';
import { describePrivileged } from '../../support/privileged';
import { metrics, zygotes } from '../../support/reports';
import { until } from '../../support/until';

const VM = process.env['ARGYLE_VM'] === '1';
jest.setTimeout(VM ? 600_000 : 120_000);

const DEATHS = VM ? 3 : 20;
const PER_SECOND = VM ? 3 : 150;
/**
 * Shortest and longest time between two deaths, in ms. Some deaths come before the last helper's slots are made, some
 * long after.
 */
const LEAST_MS = VM ? 10_000 : 100;
const MOST_MS = VM ? 20_000 : 1_800;
/** Share of calls that may fail. */
const MAY_FAIL = 0.03;
/** The answer of a failed call: one line that states the reason. */
const CLEAR = /^(502 RoundTrip failed: |500 could not create Sandbox: |500 .*helper)/;
const FUNCTIONS = ['echo', 'numbers', 'cold'] as const;

describePrivileged('a helper that is killed repeatedly', () => {
  const worker = new E2eWorker({
    config: ROOT_ZYGOTE,
  });
  beforeAll(async () => {
    await worker.init();
    await worker.up();
    for (const name of FUNCTIONS) {
      const yaml = name === 'cold' ? { 'ol.yaml': 'reuse-sandbox: false\n' } : {};
      await deploy(worker.url, { 'f.py': ECHO, ...yaml }, name);
    }
  });
  afterAll(() => worker.remove());

  const memoryMb = async (): Promise<number> => {
    const used = /^argyle_memory_pool_used_bytes (\d+)/m.exec(await metrics(worker.url));
    return Number(used?.[1]) / 2 ** 20;
  };

  const helperRuns = (): Promise<void> =>
    until('a helper runs', () => {
      try {
        return worker.helperPid() > 0;
      } catch {
        return false;
      }
    });

  it('makes fewer than 3 % of the calls fail, each with one clear error', async () => {
    const load = new Load({
      perSecond: PER_SECOND,
      call: (n) => ({
        // One call in ten is a cold start.
        url: `${worker.url}/run/${n % 10 === 0 ? 'cold' : n % 2 === 0 ? 'echo' : 'numbers'}`,
        body: JSON.stringify({ n }),
      }),
    }).start();
    await sleep(1500);
    for (let death = 0; death < DEATHS; death++) {
      await helperRuns();
      process.kill(worker.helperPid(), 'SIGKILL');
      await sleep(LEAST_MS + Math.random() * (MOST_MS - LEAST_MS));
    }
    await sleep(1000);
    const before = load.outcomes.length;
    await sleep(2000);
    const after = load.outcomes.slice(before);
    const outcomes = await load.stop();
    const wrong = outcomes.filter(
      ({ status, body, n }) => status === 200 && (JSON.parse(body) as { n: number }).n !== n,
    );
    expect(wrong).toEqual([]);
    const failed = failures(outcomes);
    for (const { status, body } of failed) expect(`${String(status)} ${body}`).toMatch(CLEAR);
    const kinds = new Map<string, number>();
    for (const { status, body } of failed) {
      const kind = `${String(status)} ${body.split('\n')[0] ?? ''}`.replace(/\d+/g, '#').slice(0, 150);
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
    const ms = times(outcomes);
    process.stdout.write(
      `${String(DEATHS)} deaths, ${String(outcomes.length)} calls, ${String(failed.length)} failed ` +
        `(${((100 * failed.length) / outcomes.length).toFixed(2)} %), median ${quantile(ms, 0.5).toFixed(1)} ms, ` +
        `p99 ${quantile(ms, 0.99).toFixed(0)} ms, longest ${quantile(ms, 1).toFixed(0)} ms\n`,
    );
    for (const [kind, count] of kinds) process.stdout.write(`  ${count} ${kind}\n`);
    expect(failed.length / outcomes.length).toBeLessThan(MAY_FAIL);
    // Afterwards no call fails, and zygotes and spares exist again.
    expect(failures(after)).toEqual([]);
    await until('zygote and spares are there', async () => {
      const found = await zygotes(worker.url);
      return found.length === 1 && found[0]?.spares === 2;
    });
    expect(await memoryMb()).toBeLessThan(1000);
  });
});
