import { closeSync, openSync, readdirSync, readFileSync, statSync, writeSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isOpenAs, LogFile } from '../../../src/log';
import { describePrivileged } from '../../support/privileged';
import { smallDisk } from '../../support/small-disk';
import { until } from '../../support/until';

const line = (n: number): string => `${JSON.stringify({ n, pad: 'x'.repeat(80) })}\n`;
const numbers = (file: string): number[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((text) => text !== '')
    .map((text) => (JSON.parse(text) as { n: number }).n);

describe('a bounded log', () => {
  let dir: string;
  let fd: number;
  let file: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'log-'));
    file = join(dir, 'worker.out');
    fd = openSync(file, 'a');
  });
  afterEach(async () => {
    closeSync(fd);
    await rm(dir, { recursive: true });
  });

  test('is truncated at its limit, keeps its number of copies, and loses no line of them', async () => {
    const maxBytes = 20_000;
    const log = new LogFile({ fd, file, maxBytes, keep: 2 });
    for (let n = 0; n < 2_000; n++) {
      log.write(line(n));
      if (n % 20 === 0) await log.settled();
    }
    await log.close();
    expect(readdirSync(dir).sort()).toEqual(['worker.out', 'worker.out.1', 'worker.out.2']);
    const kept = [`${file}.2`, `${file}.1`, file].flatMap(numbers);
    expect(kept.at(-1)).toBe(1_999);
    // The numbers are consecutive.
    expect(kept).toEqual(Array.from(kept, (_n, i) => (kept[0] ?? 0) + i));
    for (const name of readdirSync(dir)) expect(statSync(join(dir, name)).size).toBeLessThan(1.2 * maxBytes);
  });

  test('counts writes of others to the same descriptor, and keeps no copy with 0 copies', async () => {
    const log = new LogFile({ fd, file, maxBytes: 10_000, keep: 0 });
    writeSync(fd, 'x'.repeat(50_000));
    for (let n = 0; n < 10; n++) log.write(line(n));
    await log.close();
    expect(readdirSync(dir)).toEqual(['worker.out']);
    expect(statSync(file).size).toBeLessThan(1_100);
  });

  test("without a limit is never truncated; only the descriptor's own file counts as the log", async () => {
    const log = new LogFile({ fd, file, maxBytes: 0, keep: 3 });
    for (let n = 0; n < 500; n++) log.write(line(n));
    await log.close();
    expect(numbers(file)).toHaveLength(500);
    expect(isOpenAs(fd, file)).toBe(true);
    expect(isOpenAs(fd, join(dir, 'other'))).toBe(false);
    expect(isOpenAs(fd, dir)).toBe(false);
  });
});

describePrivileged('a log on a full disk', () => {
  test('loses lines on a full disk, reports their number, and still enforces its limit', async () => {
    const disk = await smallDisk(2);
    const file = join(disk.dir, 'worker.out');
    const fd = openSync(file, 'a');
    try {
      const log = new LogFile({ fd, file, maxBytes: 100_000, keep: 1 });
      log.write(line(0));
      disk.fill();
      // The rest of the file's last block takes some lines.
      for (let n = 1; n <= 200; n++) log.write(line(n));
      disk.free();
      log.write(line(201));
      const text = readFileSync(file, 'utf8');
      // At most one line is cut, and no two lines are joined.
      expect(text.split('\n').filter((part) => part !== '' && !part.endsWith('}')).length).toBeLessThanOrEqual(1);
      expect(text).not.toMatch(/x\{/);
      const lost = Number(/"msg":"(\d+) log lines were lost"/.exec(text)?.[1]);
      expect(lost).toBeGreaterThan(100);
      expect(text).toMatch(/\n\{"n":201,[^\n]*\n$/);
      for (let n = 0; n < 1_200; n++) log.write(line(n));
      await until('it is emptied', () => statSync(file).size < 100_000);
      disk.fill();
      await log.close();
    } finally {
      closeSync(fd);
      await disk.close();
    }
  });
});
