import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { smallDisk } from '../../../support/small-disk';
import { FunctionLogs, type FunctionLogsOptions } from '../../../../src/log/functions/store';

describe('the logs of functions', () => {
  let dir: string;
  let dropped = 0;
  const open: FunctionLogs[] = [];
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'logs-'));
    dropped = 0;
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((logs) => logs.close()));
    rmSync(dir, { recursive: true, force: true });
  });

  function logsOf(options: Partial<FunctionLogsOptions> = {}): FunctionLogs {
    const onDropped = (bytes: number): void => void (dropped += bytes);
    const logs = new FunctionLogs({
      dir: join(dir, 'logs'),
      functionBytes: 64 << 10,
      totalBytes: 1 << 20,
      onDropped,
      ...options,
    });
    open.push(logs);
    return logs;
  }
  const line = (text: string, lambda = 'f') => {
    return { lambda, sandbox: '7', requestId: 'r1', stream: 'stdout' as const, text };
  };
  const texts = (lines: string[] | undefined): string[] | undefined =>
    lines?.map((one) => (JSON.parse(one) as { msg: string }).msg);

  test('contain all fields, without empty ones', async () => {
    const logs = logsOf();
    logs.write(line('one'), 0);
    logs.write({ lambda: 'f', sandbox: '', requestId: '', stream: 'worker', text: 'a\nb\x1b' }, 1);
    expect((await logs.read('f'))?.map((one) => JSON.parse(one) as object)).toEqual([
      {
        time: '1970-01-01T00:00:00.000Z',
        level: 'info',
        lambda: 'f',
        sandbox: '7',
        request_id: 'r1',
        stream: 'stdout',
        msg: 'one',
      },
      { time: '1970-01-01T00:00:00.001Z', level: 'error', lambda: 'f', stream: 'worker', msg: 'a\nb\x1b' },
    ]);
  });

  test('are deleted together with lines that wait for the disk', async () => {
    const logs = logsOf();
    logs.write(line('written'));
    await logs.flush();
    logs.write(line('waits'));
    logs.write(line('kept', 'g'));
    await logs.forget('f');
    await logs.flush();
    expect(await logs.read('f')).toBeUndefined();
    expect(texts(await logs.read('g'))).toEqual(['kept']);
    await logs.close();
    expect(await logsOf().read('f')).toBeUndefined();
  });

  test('can be read completely, by the last lines, by time, and by function', async () => {
    const logs = logsOf();
    for (let i = 0; i < 5; i++) logs.write(line(`l${i}`), 1000 * i);
    logs.write(line('other', 'g'));
    await logs.flush();
    logs.write(line('l5'), 5000);
    expect(texts(await logs.read('f'))).toEqual(['l0', 'l1', 'l2', 'l3', 'l4', 'l5']);
    expect(texts(await logs.read('f', { tail: 2 }))).toEqual(['l4', 'l5']);
    expect(texts(await logs.read('f', { tail: 0 }))).toEqual([]);
    expect(texts(await logs.read('f', { tail: 99 }))).toHaveLength(6);
    expect(texts(await logs.read('f', { sinceMs: 3000 }))).toEqual(['l3', 'l4', 'l5']);
    expect(await logs.read('none')).toBeUndefined();
  });

  test('survive a restart, and a partial line of a crash loses only itself', async () => {
    const first = logsOf();
    first.write(line('before'));
    await first.close();
    appendFileSync(join(dir, 'logs/f.log'), '{"time":"2026-11-29T00:00:00.000Z","msg":"cut o');
    const second = logsOf();
    second.write(line('after'));
    await second.flush();
    expect(texts(await second.read('f'))).toEqual(['before', 'after']);
    expect(statSync(join(dir, 'logs')).mode & 0o777).toBe(0o700);
    expect(statSync(join(dir, 'logs/f.log')).mode & 0o777).toBe(0o600);
  });

  test('stay within the limit of a function: the oldest lines are deleted', async () => {
    const logs = logsOf();
    for (let i = 0; i < 400; i++) {
      logs.write(line(`${i} ${'x'.repeat(1000)}`));
      if (i % 7 === 0) await logs.flush();
    }
    await logs.flush();
    const bytes = readdirSync(join(dir, 'logs')).reduce((sum, file) => sum + statSync(join(dir, 'logs', file)).size, 0);
    expect(bytes).toBeLessThanOrEqual(64 << 10);
    const kept = texts(await logs.read('f')) ?? [];
    expect(kept.at(-1)).toMatch(/^399 /);
    expect(kept.length).toBeGreaterThan(25);
    expect(dropped).toBe(0);
  });

  test('stay within the limit of a burst, and count lost lines', async () => {
    const logs = logsOf();
    for (let i = 0; i < 200; i++) logs.write(line(`${i} ${'x'.repeat(1000)}`));
    await logs.flush();
    expect(statSync(join(dir, 'logs/f.log')).size).toBeLessThanOrEqual(32 << 10);
    expect(texts(await logs.read('f'))?.at(-1)).toMatch(/^199 /);
    expect(dropped).toBeGreaterThan(150_000);
  });

  test('stay within the total limit: the log with the oldest last write is deleted', async () => {
    const logs = logsOf({ totalBytes: 16 << 10 });
    for (const name of ['a', 'b', 'c', 'd', 'e']) {
      logs.write(line('x', name), 0);
      await logs.flush();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(readdirSync(join(dir, 'logs')).sort()).toEqual(['b.log', 'c.log', 'd.log', 'e.log']);
    // Logs of an earlier worker count, too.
    await logs.close();
    logsOf({ totalBytes: 8 << 10 });
    await open.at(-1)?.flush();
    expect(readdirSync(join(dir, 'logs')).sort()).toEqual(['d.log', 'e.log']);
  });

  test('reach a follower exactly once each', async () => {
    const logs = logsOf();
    let i = 0;
    const timer = setInterval(() => {
      for (let n = 0; n < 50; n++) logs.write(line(String(i++)));
    }, 0);
    await new Promise((resolve) => setTimeout(resolve, 150));
    const later: string[] = [];
    const follow = (one: string): void => void later.push(one);
    const read = texts(await logs.read('f', { tail: 10 }, follow)) ?? [];
    await new Promise((resolve) => setTimeout(resolve, 150));
    clearInterval(timer);
    logs.unfollow('f', follow);
    logs.write(line('nobody hears this'));
    const all = [...read, ...(texts(later) ?? [])].map(Number);
    expect(later.length).toBeGreaterThan(10);
    expect(all).toEqual(all.map((_, n) => (all[0] ?? 0) + n));
    expect(all.at(-1)).toBe(i - 1);
  });

  test('of a function named like a path stay in the directory', async () => {
    const logs = logsOf();
    for (const name of ['..', '.', 'a.log', 'a.log.1', 'a']) logs.write(line(name, name));
    await logs.close();
    expect(readdirSync(dir)).toEqual(['logs']);
    const again = logsOf();
    for (const name of ['..', '.', 'a.log', 'a.log.1', 'a']) expect(texts(await again.read(name))).toEqual([name]);
  });

  test('have a memory limit for lines that wait for the disk', () => {
    const logs = logsOf({ functionBytes: 1 << 30, totalBytes: 2 ** 31 });
    for (let i = 0; i < 6000; i++) logs.write(line('x'.repeat(1000)));
    expect(dropped).toBeGreaterThan(1_500_000);
    expect(dropped).toBeLessThan(3_000_000);
  });

  test('lose only lines when their directory cannot be made', async () => {
    writeFileSync(join(dir, 'logs'), 'a file');
    const logs = logsOf();
    logs.write(line('lost'));
    await logs.flush();
    expect(dropped).toBeGreaterThan(50);
    expect(await logs.read('f')).toEqual([]);
  });

  test('lose on a full disk only the lines that do not fit', async () => {
    if (process.getuid?.() !== 0) return;
    const disk = await smallDisk(1);
    try {
      const logs = logsOf({ dir: join(disk.dir, 'logs') });
      logs.write(line('before'));
      await logs.flush();
      disk.fill();
      for (let i = 0; i < 20; i++) {
        logs.write(line(`${i} ${'x'.repeat(1000)}`));
        await logs.flush();
      }
      expect(dropped).toBeGreaterThan(10_000);
      disk.free();
      logs.write(line('room again'));
      await logs.flush();
      const kept = texts(await logs.read('f'));
      expect([kept?.[0], kept?.at(-1)]).toEqual(['before', 'room again']);
    } finally {
      await disk.close();
    }
  });
});
