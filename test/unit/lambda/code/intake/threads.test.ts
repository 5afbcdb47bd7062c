import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { IntakeThreads } from '../../../../../src/lambda/code/intake/threads';

/** The name of a job's directory selects the action of the thread. */
const SCRIPT = `
const { parentPort, threadId } = require('node:worker_threads');
const kept = [];
parentPort.on('message', ({ dir }) => {
  if (dir === 'loop') for (;;);
  if (dir === 'memory') for (;;) kept.push(new Array(1000).fill({ a: kept.length }));
  if (dir === 'throw') throw new Error('out of the thread');
  if (dir === 'exit') process.exit(3);
  parentPort.postMessage({ result: threadId });
});
`;

describe('IntakeThreads', () => {
  let dir: string;
  let threads: IntakeThreads;
  const run = (what: string): Promise<number> => threads.run({ kind: 'remove', dir: what });
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'threads-'));
    await writeFile(join(dir, 'thread.js'), SCRIPT);
  });
  beforeEach(() => {
    threads = new IntakeThreads({ most: 2, timeoutSec: 1, script: join(dir, 'thread.js') });
  });
  afterEach(() => threads.close());
  afterAll(() => rm(dir, { recursive: true }));

  test('reuses a thread, and makes no more threads than allowed', async () => {
    expect(await run('a')).toBe(await run('b'));
    expect(new Set(await Promise.all(Array.from({ length: 9 }, () => run('c')))).size).toBeLessThanOrEqual(2);
  });

  test.each([0, 1])('ends idle threads except for %i', async (keep) => {
    await threads.close();
    threads = new IntakeThreads({ most: 3, keep, idleMs: 100, timeoutSec: 5, script: join(dir, 'thread.js') });
    const all = new Set(await Promise.all([run('a'), run('b'), run('c')]));
    expect(all.size).toBe(3);
    await sleep(400);
    expect(all.has(await run('d'))).toBe(keep === 1);
  });

  test.each([
    ['loop', /takes longer than 1 s/],
    ['memory', /takes too much memory|takes longer than 1 s/],
    ['throw', /failed: out of the thread/],
    ['exit', /reading the archive failed/],
  ])('refuses a job that ends in %s, and runs the waiting jobs', async (what, message) => {
    const bad = Promise.all([run(what), run(what)].map((job) => expect(job).rejects.toThrow(message)));
    expect(await run('after')).toEqual(expect.any(Number));
    await bad;
    expect(await run('later')).toEqual(expect.any(Number));
  });

  test('ends running and waiting jobs at close()', async () => {
    const jobs = ['loop', 'loop', 'waits'].map((what) => expect(run(what)).rejects.toThrow(/shutting down/));
    await threads.close();
    await Promise.all(jobs);
    await expect(run('late')).rejects.toThrow(/shutting down/);
  });
});
