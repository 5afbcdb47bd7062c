/**
 * Contract, section 2: `ol bench`. It has a worker of its own, because benchmarks read config.json and take no
 * overrides.
 */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { describeContract, localTest } from '../support/contract-target';
import { OlDir } from '../support/ol';
import { freePort } from '../support/ports';

jest.setTimeout(120_000);

const RESULT =
  /^\{"benchmark": "(\w+-\w+)","seconds": (\d+\.\d{3}), "successes": (\d+), "errors": 0, "ops\/s": (\d+\.\d{3})\}$/;
const NAMES = ['py64', 'py1k', 'py64k', 'pd64', 'pd1k', 'pd64k'].flatMap((name) => [`${name}-seq`, `${name}-par`]);
const LOCAL = process.env['ARGYLE_CONTRACT_URL'] === undefined;

describeContract('contract: benchmarks', () => {
  let dir: OlDir;
  beforeAll(async () => {
    dir = new OlDir();
    if (LOCAL) await dir.start(String(await freePort()));
  });
  afterAll(() => dir.dispose());

  const lastLine = (text: string) => text.trimEnd().split('\n').at(-1) ?? '';

  localTest(
    '2 ol bench lists init and every benchmark with exit code 0; an unknown benchmark exits with 3',
    async () => {
      const { code, out } = await dir.ol(['bench']);
      expect(code).toBe(0);
      for (const name of ['init', 'play', ...NAMES]) expect(out).toMatch(new RegExp(`^   ${name} `, 'm'));
      // The former names still work, but are not listed.
      expect(out).not.toContain('py1024');
      expect(await dir.ol(['bench', 'py65-seq'])).toMatchObject({ code: 3, out: '' });
    },
  );

  localTest('2 a benchmark before ol bench init exits with 1 and names what is missing', async () => {
    const { code, err } = await dir.ol(['bench', 'py64-seq', '-p', 'w', '-s', '1']);
    expect(code).toBe(1);
    expect(err).toContain('lambda "bench-py-0" not found in blob store');
    expect(err).toContain('ol bench init');
  });

  localTest('2 ol bench init stores bench-py-N and bench-pd-N in the registry directory', async () => {
    expect(await dir.ol(['bench', 'init', '-p', 'w', '-n', '64'])).toMatchObject({ code: 0, err: '' });
    const archives = readdirSync(dir.path('w/registry')).filter((name) => name.endsWith('.tar.gz'));
    expect(archives).toHaveLength(128);
    expect(archives).toEqual(expect.arrayContaining(['bench-py-0.tar.gz', 'bench-py-63.tar.gz', 'bench-pd-63.tar.gz']));
  });

  localTest('2 py64-seq warms up, sends calls for -s seconds, and ends with its result line', async () => {
    const { code, out, err } = await dir.ol(['bench', 'py64-seq', '-p=w', '--seconds', '1']);
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/^warming up/);
    const [, name, seconds, successes, rate] = RESULT.exec(lastLine(out)) ?? [];
    expect(name).toBe('py64-seq');
    expect(Number(seconds)).toBeGreaterThanOrEqual(1);
    expect(Number(successes)).toBeGreaterThan(0);
    // Both numbers are rounded to three decimal places. The rounding of the rate is negligible against that of the
    // time.
    expect(Math.abs(Number(successes) / Number(rate) - Number(seconds))).toBeLessThan(0.00051);
    expect(JSON.parse(lastLine(out))).toMatchObject({ benchmark: 'py64-seq', errors: 0 });
  });

  localTest('2 py64-par sends -t concurrent requests, -w=false skips the warmup, -o keeps the line', async () => {
    const run = await dir.ol(['bench', 'py64-par', '-p', 'w', '-s', '1', '-t', '4', '-w=false', '-o', 'result.json']);
    expect(run).toMatchObject({ code: 0, err: '' });
    expect(run.out).not.toContain('warming up');
    expect(dir.read('result.json')).toBe(lastLine(run.out));
    expect(dir.json('result.json')).toMatchObject({ benchmark: 'py64-par', errors: 0 });
  });

  localTest.each([
    [['-s', 'x'], '--seconds must be a number'],
    [['-t', '0.5'], '--tasks must be a whole number'],
    [['-x'], 'flag provided but not defined: -x'],
    [['-p', 'nowhere'], 'nowhere is no worker directory'],
    [['more'], 'takes no arguments'],
  ])('2 ol bench py64-seq %j exits with 1 and the reason', async (args, reason) => {
    const { code, err } = await dir.ol(['bench', 'py64-seq', ...(args[0] === '-p' ? [] : ['-p', 'w']), ...args]);
    expect([code, err.includes(reason)]).toEqual([1, true]);
  });

  localTest('2 -t sets the number of concurrent requests of a sequential benchmark, too', async () => {
    const { code, out } = await dir.ol(['bench', 'py64-seq', '-p', 'w', '-s', '0.2', '-t', '2', '-w=false']);
    expect([code, RESULT.exec(lastLine(out))?.[1]]).toEqual([0, 'py64-seq']);
  });

  localTest.each(['py1k-seq', 'py1024-seq'])(
    '2 a benchmark (%s) with more than 1%% failed calls exits with 2 and prints no result line',
    async (name) => {
      // Only 64 of its 1024 functions exist.
      const { code, out, err } = await dir.ol(['bench', name, '-p', 'w', '-s', '1', '-w=false']);
      expect(code).toBe(2);
      expect(err).toMatch(/^>1% of requests failed \(\d+\/\d+\)/);
      expect(out).not.toMatch(/"benchmark"/);
    },
  );

  localTest('2 ol bench play calls the functions of --trace in turn, and ends with its result line', async () => {
    writeFileSync(dir.path('trace.txt'), 'bench-py-1\n\nbench-py-2\n');
    const before = dir.json('w/config.json');
    const { code, out, err } = await dir.ol([
      'bench',
      'play',
      '-p',
      'w',
      '--trace',
      'trace.txt',
      '--seconds',
      '0.5',
      '--tasks',
      '2',
    ]);
    expect([code, err]).toEqual([0, '']);
    const result = JSON.parse(lastLine(out)) as { successes: number };
    expect(result).toMatchObject({ benchmark: 'play', errors: 0 });
    expect(result.successes).toBeGreaterThan(1);
    expect(dir.json('w/config.json')).toEqual(before);
  });

  localTest('2 ol bench play accepts 5% failed calls, and exits with 2 above', async () => {
    const trace = (bad: number) => [...Array<string>(20 - bad).fill('bench-py-1'), ...Array<string>(bad).fill('none')];
    writeFileSync(dir.path('some.txt'), trace(2).join('\n'));
    const { code, out, err } = await dir.ol(['bench', 'play', '-p', 'w', '-f', 'some.txt', '-s', '1', '-t', '4']);
    expect([code, />5% of requests failed/.test(err), out.includes('"benchmark"')]).toEqual([2, true, false]);
  });

  localTest.each([
    [[], '--trace is missing'],
    [['-f', 'nowhere.txt'], 'nowhere.txt'],
    [['-f', 'empty.txt'], 'names no function'],
  ])('2 ol bench play %j exits with 1 and the reason', async (args, reason) => {
    writeFileSync(dir.path('empty.txt'), '\n');
    const { code, err } = await dir.ol(['bench', 'play', '-p', 'w', ...args]);
    expect([code, err.includes(reason)]).toEqual([1, true]);
  });

  localTest('2 a benchmark without a running worker exits with 1', async () => {
    await dir.ol(['worker', 'down', '-p', 'w']);
    const { code, err } = await dir.ol(['bench', 'py64-seq', '-p', 'w', '-s', '1']);
    expect([code, err.includes('is the worker running?')]).toEqual([1, true]);
    expect(existsSync(dir.path('w/worker/worker.pid'))).toBe(false);
  });
});
