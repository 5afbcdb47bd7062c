/**
 * A function that uses as many processors, as much memory, or as many places in the queue as it can get does not delay
 * another function.
 */
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { deploy, invoke } from '../../support/deploy';
import { E2eWorker, ROOT_ZYGOTE } from '../../support/spawned-worker';
import { ECHO } from '../../support/lambdas';
import { compare, failures, Load, times } from '../../support/load';
import { precede } from '../../support/precedence';
import { describePrivileged } from '../../support/privileged';

const VM = process.env['ARGYLE_VM'] === '1';
jest.setTimeout(VM ? 600_000 : 120_000);

const PER_SECOND = VM ? 2 : 25;
/**
 * Phases with and without the other function alternate, so that other load of the machine affects both. 3 rounds of 68
 * calls, 204 in all, are the fewest for which the 99th percentile is the third longest time. Two exceptionally long
 * calls do not change this time.
 */
const ROUNDS = VM ? 2 : 3;
const PHASE_MS = VM ? 15_000 : 2_700;
/** Time in ms until the other function has all its instances, or until they are gone. */
const SETTLE_MS = VM ? 10_000 : 1_500;
/** Bound of the median and of the 99th percentile beside the other function, as a multiple of the values without it. */
const MOST_TIMES = 1.5;
/**
 * Below these values, in ms, no ratio is judged. A process gets a processor for up to 4 ms at a time (a tick), and a
 * call passes through four waiting processes. A few ticks of other load are a multiple of the quiet median of 2 ms. The
 * 99th percentile reached 114 ms with a second test group on the same two processors. The ratio is therefore only
 * printed for each run, and the assertion detects only the loss of fair shares. Values without fair shares, in ms:
 *
 * - calls that wait: median 250, 99th percentile 640 to 850;
 * - instances that compute: median 5, 99th percentile 45 to 80;
 * - all memory: median 30, 99th percentile 100.
 */
const MEDIAN_FLOOR_MS = VM ? 1_000 : 15;
const FLOOR_MS = VM ? 4_000 : 400;

const COMPUTES = `import time


def f(event):
    end = time.thread_time() + event["ms"] / 1000
    while time.thread_time() < end:
        pass
    return event
`;
const WAITS = `import time


def f(event):
    time.sleep(event["ms"] / 1000)
    return event
`;
const LARGE = 'limits:\n  mem_mb: 200\n';

/** The load of the other function: number of simultaneous calls, and how long each call computes or waits. */
const OTHERS = [
  { what: '1,000 calls that wait for their turn', fn: 'computes', calls: VM ? 100 : 1000, ms: 10 },
  { what: 'eight instances that compute', fn: 'computes', calls: 8, ms: VM ? 5_000 : 1_000 },
  { what: 'a function that wants all memory', fn: 'large', calls: VM ? 40 : 200, ms: 100 },
];

describePrivileged('a function with few calls is not delayed by', () => {
  const worker = new E2eWorker({
    config: {
      mem_pool_mb: 2000,
      ...ROOT_ZYGOTE,
    },
  });
  beforeAll(async () => {
    await worker.init();
    await worker.up();
    precede(worker);
    await deploy(worker.url, { 'f.py': ECHO }, 'quiet');
    await deploy(worker.url, { 'f.py': COMPUTES }, 'computes');
    await deploy(worker.url, { 'f.py': WAITS, 'ol.yaml': LARGE }, 'large');
    for (const fn of ['quiet', 'computes', 'large']) await invoke(worker.url, fn, { ms: 1 });
  });
  let ending: (() => Promise<unknown>) | undefined;
  afterEach(() => ending?.());
  afterAll(() => worker.remove());

  /** Calls the function for some time. @returns the duration of each call, in ms */
  async function phase(): Promise<number[]> {
    const call = (n: number) => ({ url: `${worker.url}/run/quiet`, body: JSON.stringify({ n }) });
    const load = new Load({ perSecond: PER_SECOND, call }).start();
    await sleep(PHASE_MS);
    const outcomes = await load.stop();
    expect(failures(outcomes)).toEqual([]);
    return times(outcomes);
  }

  /** Sends the other function's calls from a separate process. In this process they would delay the measured calls. */
  function flood({ fn, calls, ms }: (typeof OTHERS)[number]): () => Promise<number> {
    const argv = [resolve(__dirname, '../../support/flood.mjs'), `${worker.url}/run/${fn}`, `${calls}`];
    const child = spawn(process.execPath, [...argv, JSON.stringify({ ms })], { stdio: ['ignore', 'pipe', 'inherit'] });
    const out = text(child.stdout);
    return async () => {
      child.kill('SIGTERM');
      return Number(await out);
    };
  }

  it.each(OTHERS)('$what', async (other) => {
    const [alone, beside]: [number[], number[]] = [[], []];
    let answered = 0;
    await phase();
    for (let round = 0; round < ROUNDS; round++) {
      alone.push(...(await phase()));
      const end = flood(other);
      ending = end;
      await sleep(SETTLE_MS);
      beside.push(...(await phase()));
      answered += await end();
      ending = undefined;
      await sleep(SETTLE_MS);
    }
    const medians = compare('medians', 0.5, alone, beside);
    const p99s = compare('99th percentiles', 0.99, alone, beside);
    process.stdout.write(`beside ${other.what}: ${medians.text}, ${p99s.text}; the other answered ${answered} calls\n`);
    expect(medians.during).toBeLessThan(Math.max(MEDIAN_FLOOR_MS, MOST_TIMES * medians.before));
    expect(p99s.during).toBeLessThan(Math.max(FLOOR_MS, MOST_TIMES * p99s.before));
    // The other function does not starve, either.
    if (other.fn === 'large' || other.calls > 8) expect(answered).toBeGreaterThan(ROUNDS);
  });
});
