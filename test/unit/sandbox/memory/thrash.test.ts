import fc from 'fast-check';
import { THRASH_MS, ThrashDetector, thrashed, type Sample } from '../../../../src/sandbox/memory/thrash';
import { ThrashWatch, type Watched } from '../../../../src/sandbox/memory/thrash-watch';

const MB = 1 << 20;
const LIMIT = 50 * MB;
const TICK_MS = 250;

/** Counters of 250 ms, measured with a limit of 50 MB: pages, faults, ms of user code, MB in use. */
interface Interval {
  refaults: number;
  major: number;
  faults: number;
  userMs: number;
  mb?: number;
}

/** numba, with its packages' files outside and inside the page cache. It hung until the time limit, or died late. */
const COLD: Interval = { refaults: 45_000, major: 39, faults: 60, userMs: 0 };
const WARM: Interval = { refaults: 37_000, major: 32, faults: 33, userMs: 10 };

const START: Sample = { atMs: 0, memBytes: 49.5 * MB, refaults: 0, majorFaults: 0, faults: 0, userUsec: 0 };

function after(from: Sample, { refaults, major, faults, userMs, mb = 49.5 }: Interval, ms = TICK_MS): Sample {
  return {
    atMs: from.atMs + ms,
    memBytes: mb * MB,
    refaults: from.refaults + refaults,
    majorFaults: from.majorFaults + major,
    faults: from.faults + faults,
    userUsec: from.userUsec + userMs * 1000,
  };
}

test.each<[string, Interval, boolean]>([
  ['numba with a cold page cache', COLD, true],
  ['numba with a warm one', WARM, true],
  ['the start of an import, which still computes', { refaults: 13_398, major: 17, faults: 3458, userMs: 80 }, false],
  ['an import of big packages that fit', { refaults: 0, major: 900, faults: 4000, userMs: 120, mb: 45 }, false],
  ['an import from a cold disk, for the first time', { refaults: 0, major: 60, faults: 300, userMs: 5 }, false],
  ['reading a large file', { refaults: 0, major: 0, faults: 2, userMs: 1 }, false],
  ['reading a large file again and again', { refaults: 60_000, major: 1, faults: 3, userMs: 3 }, false],
  ['a mapped file that is read again, in order', { refaults: 45_000, major: 45, faults: 3000, userMs: 40 }, false],
  ['computing at the limit', { refaults: 200, major: 4, faults: 40, userMs: 240 }, false],
  ['waiting for the network', { refaults: 0, major: 0, faults: 0, userMs: 0 }, false],
  ['pages that the whole host lacks', { ...COLD, mb: 20 }, false],
])('%s: %s', (_, interval, expected) => {
  expect(thrashed(START, after(START, interval), LIMIT)).toBe(expected);
});

test('a sandbox without a limit, or two samples at one time, never count as thrashing', () => {
  expect(thrashed(START, after(START, COLD), 0)).toBe(false);
  expect(thrashed(START, after(START, COLD, 0), LIMIT)).toBe(false);
});

/** Time in these intervals until the thrashing is recognised, ms; undefined if it is not. */
function recognised(intervals: Interval[]): number | undefined {
  const detector = new ThrashDetector(LIMIT);
  let sample = START;
  detector.add(sample);
  for (const interval of intervals) {
    sample = after(sample, interval);
    if (detector.add(sample)) return sample.atMs;
  }
  return undefined;
}

test('thrashing is detected within 2 s, and only when it lasts', () => {
  expect(recognised(Array<Interval>(8).fill(COLD))).toBe(Math.ceil(THRASH_MS / TICK_MS) * TICK_MS);
  const pause: Interval = { ...COLD, userMs: 100 };
  expect(recognised([COLD, COLD, COLD, COLD, pause, COLD, COLD, COLD, COLD])).toBeUndefined();
  expect(recognised([pause, pause, COLD, COLD, COLD, COLD, COLD])).toBe(7 * TICK_MS);
});

/** Measured beside 2 and 8 processes that compute: ms, pages read again, major faults, all faults, ms of user code. */
type Measured = [ms: number, refaults: number, major: number, faults: number, userMs: number];
/** In the intervals of 302 and 274 ms the code hardly ran. */
const STUCK_BESIDE_2: Measured[] = [
  [242, 11_269, 13, 15, 1],
  [241, 28_370, 16, 18, 1],
  [253, 30_524, 18, 22, 0],
  [302, 9614, 4, 4, 0],
  [242, 35_328, 18, 21, 0],
  [246, 27_824, 15, 17, 0],
];
const STUCK_BESIDE_8: Measured[] = [
  [580, 50_542, 27, 33, 0],
  [274, 16_193, 8, 9, 0],
  [242, 15_642, 9, 11, 0],
  [280, 29_113, 16, 17, 0],
  [240, 18_902, 11, 11, 0],
];
const NUMBA_BESIDE_2: Measured[] = [
  [252, 16_935, 11, 17, 0],
  [240, 22_952, 16, 23, 0],
  [241, 13_542, 10, 11, 1],
  [240, 14_454, 11, 11, 0],
  [241, 14_352, 10, 13, 1],
];
/** A mapped file that is read in order: the code makes progress, although it runs little. */
const SCANS_BESIDE_8: Measured[] = [
  [275, 9703, 3, 249, 1],
  [244, 8020, 4, 385, 8],
  [251, 10_598, 6, 496, 4],
  [275, 18_343, 6, 212, 0],
  [247, 14_682, 4, 263, 18],
  [262, 12_722, 3, 444, 5],
];
const READS_BESIDE_8: Measured[] = [
  [252, 63_488, 0, 0, 0],
  [260, 68_608, 0, 0, 4],
  [264, 48_640, 0, 0, 4],
  [297, 65_024, 0, 0, 0],
  [266, 73_216, 0, 0, 0],
];

/** The import of polars from a cold disk, which answered after 5 s. It thrashes for short times only. */
const POLARS_BESIDE_2: Measured[] = [
  [240, 6375, 8, 116, 0],
  [247, 5986, 14, 115, 0],
  [261, 3005, 4, 618, 0],
  [242, 94, 1, 542, 12],
  [462, 0, 0, 620, 16],
  [240, 0, 0, 166, 6],
  [249, 1, 0, 988, 33],
  [246, 0, 0, 722, 22],
  [241, 1, 0, 618, 31],
  [248, 4511, 3, 462, 48],
  [240, 20_201, 16, 38, 3],
];
const MAPPED_PAGE_BY_PAGE = SCANS_BESIDE_8.map(([ms, pages, major, , user]): Measured => [
  ms,
  pages,
  major,
  major,
  user,
]);
/** A process that wakes up, reads its memory again, and waits for longer. */
const WAKES_UP: Measured[] = [
  [240, 35_000, 20, 25, 0],
  [240, 0, 0, 0, 0],
  [120, 0, 0, 0, 0],
];

test.each<[string, number | undefined, Measured[]]>([
  ['stuck beside 2 processes', 1280, STUCK_BESIDE_2],
  ['stuck beside 8 processes', 1376, STUCK_BESIDE_8],
  ['numba beside 2 processes', 1214, NUMBA_BESIDE_2],
  ['a mapped file beside 8 processes', undefined, SCANS_BESIDE_8],
  ['reading a file again beside 8 processes', undefined, READS_BESIDE_8],
  ['polars beside 2 processes', undefined, POLARS_BESIDE_2],
  // A mapped file, if the kernel did not map the pages around a fault: the code makes progress in few ms.
  ['a mapped file, page by page', undefined, MAPPED_PAGE_BY_PAGE],
  ['bursts with waits between them', undefined, WAKES_UP],
])('on a busy machine, %s: ended after %s ms', (_, expectedMs, measured) => {
  const detector = new ThrashDetector(LIMIT);
  let sample = START;
  detector.add(sample);
  let endedMs: number | undefined;
  for (const [ms, refaults, major, faults, userMs] of [...measured, ...measured, ...measured]) {
    sample = after(sample, { refaults, major, faults, userMs }, ms);
    if (detector.add(sample)) endedMs ??= sample.atMs;
  }
  expect(endedMs).toBe(expectedMs);
});

test('a long interval counts once, and a sandbox that frees memory starts again', () => {
  const detector = new ThrashDetector(LIMIT);
  detector.add(START);
  const long = after(START, { refaults: 200_000, major: 160, faults: 200, userMs: 2 }, THRASH_MS + 100);
  expect(detector.add(long)).toBe(true);
  const freed = after(long, { ...COLD, mb: 40 });
  expect(detector.add(freed)).toBe(false);
  expect(detector.add(after(freed, { refaults: 200_000, major: 160, faults: 200, userMs: 2 }, 1500))).toBe(false);
});

const interval = fc.record({
  refaults: fc.nat(100_000),
  major: fc.nat(200),
  faults: fc.nat(5000),
  userMs: fc.nat(250),
  mb: fc.integer({ min: 1, max: 50 }),
});

test('never counts while the code runs a tenth of the time, or pages are not read again', () => {
  fc.assert(
    fc.property(
      fc.array(interval, { maxLength: 40 }),
      fc.constantFrom('runs', 'reads new', 'has memory'),
      (all, why) => {
        const harmless = all.map((one) => ({
          ...one,
          ...(why === 'runs' ? { userMs: Math.max(one.userMs, 25) } : {}),
          ...(why === 'reads new' ? { refaults: one.refaults % 3000 } : {}),
          ...(why === 'has memory' ? { mb: Math.min(one.mb, 44) } : {}),
        }));
        expect(recognised(harmless)).toBeUndefined();
      },
    ),
  );
});

test('more refaults, faults and time without code never reduce the result', () => {
  fc.assert(
    fc.property(interval, fc.nat(50_000), fc.nat(100), (one, refaults, major) => {
      if (!thrashed(START, after(START, one), LIMIT)) return;
      const worse = { ...one, refaults: one.refaults + refaults, major: one.major + major, userMs: 0, mb: 50 };
      worse.faults = one.faults + major;
      expect(thrashed(START, after(START, worse), LIMIT)).toBe(true);
    }),
  );
});

describe('the watch', () => {
  const LIMITS = { memMb: 50, procs: 10, cpuPercent: 100, swapBytes: 0, scratchMb: 64 };
  const sandbox = (busySince: number | undefined, each: Interval) => {
    let sample = START;
    const looked = jest.fn(() => Promise.resolve((sample = after(sample, each))));
    const fail = jest.fn((_why: string) => undefined);
    return { limits: LIMITS, busySince, pressure: looked, fail } satisfies Watched;
  };

  test("ends the thrashing sandbox with the limit's name, and skips idle and fast ones", async () => {
    const all = [sandbox(0, COLD), sandbox(0, { ...COLD, userMs: 90 }), sandbox(undefined, COLD), sandbox(9000, COLD)];
    let nowMs = 1000;
    const watch = new ThrashWatch(
      () => all,
      () => nowMs,
    );
    for (; nowMs < 3000; nowMs += TICK_MS) await watch.look();
    watch.close();
    expect(all[0]?.fail.mock.calls[0]?.[0]).toMatch(/^it did nothing but .* limits\.mem_mb is 50 MB; raise it in/);
    expect(all.slice(1).map(({ fail }) => fail.mock.calls.length)).toEqual([0, 0, 0]);
    expect(all.map(({ pressure }) => pressure.mock.calls.length > 0)).toEqual([true, true, false, false]);
  });

  test('takes turns when many are busy, and accepts one that has ended', async () => {
    const all = Array.from({ length: 130 }, () => sandbox(0, { ...COLD, userMs: 90 }));
    all[0]?.pressure.mockRejectedValue(new Error('gone'));
    const watch = new ThrashWatch(
      () => all,
      () => 1000,
    );
    await watch.look();
    expect(all.filter(({ pressure }) => pressure.mock.calls.length > 0)).toHaveLength(60);
    await watch.look();
    await watch.look();
    watch.close();
    expect(all.every(({ pressure }) => pressure.mock.calls.length > 0)).toBe(true);
  });
});
