import fc from 'fast-check';
import { measure, orderOf } from '../../../bench/harness';
import type { Row } from '../../../bench/harness';
import { processorTime, stolenShare } from '../../../bench/machine';
import { figuresTable, goalsTable, judge, judgeCapacity } from '../../../bench/report';
import { SkipSubject, Strayed } from '../../../bench/subject';
import type { Subject } from '../../../bench/subject';
import { quantile, summarize } from '../../../bench/stats';

const PLAN = { rounds: 6, warmup: 1, settleMs: 0 };
const silent = (): void => undefined;

/** A subject with given durations, which records the order of its calls. */
class Told implements Subject {
  readonly about = 'told';
  torn = 0;
  constructor(
    readonly name: string,
    private readonly calls: string[],
    private readonly outcome: (call: number) => number,
    private readonly skip?: string,
  ) {}
  private count = 0;
  setup(): Promise<void> {
    if (this.skip !== undefined) return Promise.reject(new SkipSubject(this.skip));
    return Promise.resolve();
  }
  run(): Promise<number> {
    this.calls.push(this.name);
    this.count += 1;
    return Promise.resolve().then(() => this.outcome(this.count));
  }
  teardown(): Promise<void> {
    this.torn += 1;
    return Promise.resolve();
  }
}

function row(name: string, samplesMs: number[]): Row {
  const summary = samplesMs.length === 0 ? undefined : summarize(samplesMs);
  const counts = { stolenTicks: samplesMs.map(() => 0), failures: [], strayed: 0 };
  return { name, about: name, samplesMs, ...counts, skipped: undefined, summary, undisturbed: summary };
}

test('quantiles interpolate between ranks', () => {
  expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
  expect(quantile([7], 0.99)).toBe(7);
  expect(() => quantile([], 0.5)).toThrow('empty sample');
  expect(() => quantile([1], 1.5)).toThrow('got 1.5');
});

test('quantiles stay within the sample and never decrease with q', () => {
  const sample = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1 });
  fc.assert(
    fc.property(
      sample,
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (xs, a, b) => {
        const low = quantile(xs, Math.min(a, b));
        const high = quantile(xs, Math.max(a, b));
        expect(low).toBeGreaterThanOrEqual(Math.min(...xs));
        expect(high).toBeLessThanOrEqual(Math.max(...xs));
        expect(high - low).toBeGreaterThanOrEqual(-1e-9 * Math.max(...xs, 1));
      },
    ),
  );
});

test('rounds interleave in a changing order, after a warm-up', async () => {
  const calls: string[] = [];
  const subjects = ['a', 'b', 'c'].map((name) => new Told(name, calls, (call) => call));
  const rows = await measure(subjects, { ...PLAN, rounds: 3 }, silent);
  expect(calls.join('')).toBe('abcabcbaccab');
  expect(rows[0]).toMatchObject({ stolenTicks: [], undisturbed: undefined });
  expect(rows.map((each) => each.samplesMs)).toEqual([
    [2, 3, 4],
    [2, 3, 4],
    [2, 3, 4],
  ]);
});

test('each round measures every subject, in varying order', () => {
  const before = Array.from({ length: 15 }, () => new Set<number | undefined>());
  for (let round = 0; round < 30; round += 1) {
    const order = orderOf(round, 15);
    expect([...order].sort((a, b) => a - b)).toEqual([...before.keys()]);
    order.forEach((subject, place) => before[subject]?.add(order[place - 1]));
  }
  for (const others of before) expect(others.size).toBeGreaterThanOrEqual(8);
  expect([orderOf(7, 1), orderOf(7, 0)]).toEqual([[0], []]);
});

test('a missing peer keeps its row with the reason, and every subject is torn down', async () => {
  const subjects = [new Told('here', [], () => 1), new Told('absent', [], () => 1, 'absent is not installed')];
  const rows = await measure(subjects, PLAN, silent);
  expect(rows[1]).toMatchObject({ skipped: 'absent is not installed', summary: undefined });
  expect(subjects.map((subject) => subject.torn)).toEqual([1, 1]);
  expect(figuresTable(rows, 'here')).toContain('absent is not installed');
});

test('failed runs are counted in the report, and a subject that always fails is skipped', async () => {
  const calls: string[] = [];
  const flaky = new Told('flaky', [], (call) => {
    if (call === 3) throw new Error('boom');
    return 1;
  });
  const broken = new Told('broken', calls, (call) => {
    if (call > 1) throw new Error('always');
    return 1;
  });
  const rows = await measure([flaky, broken], { ...PLAN, rounds: 20 }, silent);
  expect(rows[0]).toMatchObject({ failures: ['boom'] });
  expect(rows[0]?.samplesMs).toHaveLength(19);
  expect(rows[1]?.skipped).toBe('failed 5 times: always');
  expect(calls).toHaveLength(6);
});

test('goals compare medians, and are undecided for a row without figures', () => {
  const rows = [row('ours', [2, 2, 2]), row('fork', [1, 1, 1]), row('docker', [])];
  const goals = [
    { about: 'near fork', of: 'ours', to: 'fork', kind: 'atMost' as const, limit: 4 },
    { about: 'too near', of: 'ours', to: 'fork', kind: 'atMost' as const, limit: 1.5 },
    { about: 'docker', of: 'docker', to: 'ours', kind: 'atLeast' as const, limit: 18 },
  ];
  expect(judge(rows, goals).map((goal) => [goal.reached, goal.median])).toEqual([
    [true, 2],
    [false, 2],
    [undefined, undefined],
  ]);
});

test('calls with another kind of start are no samples; too many leave the row without figures', async () => {
  const astray = (when: (call: number) => boolean): ((call: number) => number) => {
    return (call) => {
      if (when(call)) throw new Strayed('forked instead');
      return 1;
    };
  };
  const seldom = new Told(
    'seldom',
    [],
    astray((call) => call === 5),
  );
  // Calls of the warm-up may have another kind of start, too. They are no samples.
  const often = new Told(
    'often',
    [],
    astray((call) => call % 2 === 1),
  );
  const rows = await measure([seldom, often], { ...PLAN, rounds: 20 }, silent);
  expect(rows[0]).toMatchObject({ strayed: 1, failures: [], skipped: undefined });
  expect(rows[0]?.summary?.count).toBe(19);
  expect(rows[1]).toMatchObject({ summary: undefined, failures: [] });
  expect(rows[1]?.skipped).toBe('10 of 20 calls went another way than this row is about');
  expect(figuresTable(rows, 'seldom')).toContain('1 went another way');
});

test('goals on figures other than ratios are judged alike, by median and by p99', () => {
  const capacity = {
    churnPerSec: { alone: [500, 600, 400, 520], besidePaused: [440, 300, 230] },
    paused: 1000,
    leafPssMb: { idle: 2.5, spare: 3.5 },
    breakdown: [],
  };
  expect(judgeCapacity(capacity).map(({ median, reached }) => [median, reached])).toEqual([
    [510, true],
    [300, false],
    [expect.closeTo(300 / 500), false], // of 440 / 550, 300 / 500 and 230 / 460
    [2.5, true],
    [3.5, false],
  ]);
  const without = { ...capacity, churnPerSec: undefined, leafPssMb: undefined };
  expect(judgeCapacity(without).map(({ reached }) => reached)).toEqual(Array(5).fill(undefined));
  expect(judgeCapacity(undefined).map(({ reached }) => reached)).toEqual(Array(5).fill(undefined));
  const slowTail = [row('ours', [2, 2, 20]), row('fork', [1, 1, 1])];
  const goals = [{ about: 'near fork', of: 'ours', to: 'fork', kind: 'atMost' as const, limit: 4 }];
  const text = goalsTable([...judge(slowTail, goals), ...judgeCapacity(capacity)]);
  expect(text).toMatch(/near fork .*≤ 4× .*2\.00× .*met by median, p99 MISSED/);
  expect(text).toMatch(/spare of the large zygote .*≤ 3 MB .*3\.50 MB .*MISSED/);
});

describe('the stolen time', () => {
  it("is a share of all time, and counts the time of this machine's guests once", () => {
    const before = processorTime('cpu  100 0 50 800 0 0 0 50 40 0\ncpu0 1 2 3\n');
    const after = processorTime('cpu  150 0 70 1700 10 0 20 60 80 0\ncpu0 1 2 3\n');
    expect(before).toEqual({ total: 1000, stolen: 50 });
    expect(stolenShare(before, after)).toBe('0.99 %');
  });

  it('is zero when no time passed', () => {
    const now = processorTime();
    expect(now.total).toBeGreaterThan(0);
    expect(stolenShare(now, now)).toBe('0.00 %');
  });
});

test('stolen ticks belong to the last started row; only undisturbed samples count for its p99', async () => {
  let taken = 0;
  const calls: string[] = [];
  const hit = new Told('hit', calls, (call) => {
    // Call 1 is the warm-up. The host takes time in the second of four measured calls.
    if (call === 3) taken += 2;
    return call === 3 ? 40 : 4;
  });
  const failing = new Told('failing', calls, (call) => {
    if (call === 3) throw new Error('boom');
    return 2;
  });
  const rows = await measure([hit, failing], { ...PLAN, rounds: 4, stolen: () => taken }, silent);
  expect(rows.map((each) => each.stolenTicks)).toEqual([
    [0, 2, 0, 0],
    [0, 0, 0],
  ]);
  expect(rows[0]?.summary?.maxMs).toBe(40);
  expect(rows[0]?.undisturbed).toMatchObject({ count: 3, maxMs: 4 });
  const goals = [{ about: 'twice', of: 'hit', to: 'failing', kind: 'atMost' as const, limit: 2 }];
  const [judged] = judge(rows, goals);
  expect(judged).toMatchObject({ median: 2, undisturbedP99: 2, reached: true });
  expect(judged?.p99).toBeGreaterThan(15);
  expect(figuresTable(rows, 'hit')).toContain('| 4.00 (3)');
  expect(goalsTable(judge(rows, goals))).toContain('met by median, p99 MISSED');
});
