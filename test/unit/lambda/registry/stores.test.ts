import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DepTraceFile } from '../../../../src/lambda/dep-trace';
import { checkLambdaName } from '../../../../src/lambda/code/name';
import { openStore } from '../../../../src/lambda/registry/open-store';
import { sandboxLimits } from '../../../../src/lambda/settings';
import type { LambdaSettings } from '../../../../src/lambda/settings';
import { TraceDemand } from '../../../../src/zygote/policy/fit';

describe('openStore', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'store-'));
  });
  afterEach(() => rm(dir, { recursive: true }));

  test.each(['', 'file://'])(
    'an absolute path with prefix %j is a directory, which is made if it is missing',
    async (prefix) => {
      const store = await openStore(`${prefix}${dir}/a b%20?c/reg`);
      expect(await store.list()).toEqual([]);
      expect(await readdir(dir)).toEqual(['a b%20?c']);
      expect(store.bucket).toBe(`file://${dir}/a b%20?c/reg`);
      await store.close();
    },
  );

  test.each([
    ['relative/dir', /invalid registry "relative\/dir": must be an absolute path or a URL/],
    ['file://relative', /must be absolute/],
    ['ftp://x/y', /scheme "ftp" is not supported/],
    ['', /invalid registry ""/],
  ])('%j is refused', async (registry, message) => {
    await expect(openStore(registry)).rejects.toThrow(message);
  });

  test('other schemes use the given openers', async () => {
    const store = await openStore(dir);
    const opened = await openStore('s3://bucket?region=x', {
      s3: (url) => Promise.resolve(Object.assign(store, { bucket: url.href })),
    });
    expect(opened.bucket).toBe('s3://bucket?region=x');
  });

  test('put is atomic, and changes the version', async () => {
    const store = await openStore(dir);
    await writeFile(path.join(dir, 'source'), 'one');
    await store.put('f', path.join(dir, 'source'));
    const first = await store.stat('f');
    const opened = await store.open('f');
    expect(opened?.version).toBe(first?.version);
    let text = '';
    for await (const chunk of opened?.data ?? []) text += String(chunk);
    expect(text).toBe('one');
    expect(JSON.parse(await readFile(path.join(dir, 'f.tar.gz.attrs'), 'utf8'))).toHaveProperty(['user.content_type']);
    await expect(store.put('f', path.join(dir, 'none'))).rejects.toThrow(/ENOENT/);
    expect((await store.stat('f'))?.version).toBe(first?.version);
    await store.put('f', path.join(dir, 'source'));
    expect((await store.stat('f'))?.version).not.toBe(first?.version);
    expect((await readdir(dir)).sort()).toEqual(['f.tar.gz', 'f.tar.gz.attrs', 'source']);
    expect(await store.remove('f')).toBe(true);
    expect([await store.remove('f'), await store.stat('f'), await store.open('f')]).toEqual([
      false,
      undefined,
      undefined,
    ]);
  });

  test('the list contains only archives that are files', async () => {
    const store = await openStore(dir);
    await writeFile(path.join(dir, 'a.tar.gz'), '');
    await writeFile(path.join(dir, 'a.tar.gz.attrs'), '');
    await symlink('/etc', path.join(dir, 'b.tar.gz'));
    expect(await store.list()).toEqual(['a']);
    await expect(store.open('b')).rejects.toThrow(/not a regular file/);
  });
});

describe('DepTraceFile', () => {
  test('appends one object per line, and reports a file that cannot be written once', async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'trace-'));
    const file = path.join(dir, 'dep-trace.json');
    const trace = new DepTraceFile(file, 0, () => undefined);
    trace.tracePackage('a', ['b'], ['a']);
    trace.traceInvocation('f', '/code/1-f');
    await trace.close();
    expect(await readFile(file, 'utf8')).toBe(
      '{"type":"package","name":"a","deps":["b"],"top":["a"]}\n{"type":"invocation","id":"/code/1-f","name":"f"}\n',
    );
    const errors: Error[] = [];
    const broken = new DepTraceFile(path.join(dir, 'no', 'file'), 0, (error) => errors.push(error));
    broken.traceInvocation('f', 'x');
    await broken.close();
    broken.traceInvocation('f', 'x');
    expect(errors).toHaveLength(1);
    await rm(dir, { recursive: true });
  });

  test('stays within its limit, and each half contains the definitions of its calls', async () => {
    const dir = await mkdtemp(path.join(tmpdir(), 'trace-'));
    const file = path.join(dir, 'dep-trace.json');
    const fail = (error: Error): void => {
      throw error;
    };
    const maxBytes = 100_000;
    const trace = new DepTraceFile(file, maxBytes, fail);
    trace.tracePackage('a==1', [], ['a']);
    trace.traceFunction('f', '/code/1-f', ['a==1']);
    for (let i = 0; i < 10_000; i++) {
      trace.traceInvocation('f', '/code/1-f');
      if (i % 100 === 99) await sleep(25);
    }
    await trace.close();
    expect((await readdir(dir)).sort()).toEqual(['dep-trace.json', 'dep-trace.json.1']);
    let bytes = 0;
    for (const name of [file, `${file}.1`]) {
      const text = await readFile(name, 'utf8');
      bytes += text.length;
      const demand = new TraceDemand();
      for (const line of text.split('\n')) demand.add(line);
      expect(demand.invocations).toBeGreaterThan(100);
      expect(demand.demands().map(({ pins }) => pins)).toEqual([['a==1']]);
    }
    expect(bytes).toBeLessThan(maxBytes * 1.2);
    await rm(dir, { recursive: true });
  });
});

test.each(['a', 'A-b_c.9', '..'])('the name %j is accepted', (name) => {
  checkLambdaName(name);
});

test.each(['', 'a b', 'a/b', 'é', 'a\n', 'x'.repeat(201)])('the name %j is refused', (name) => {
  expect(() => {
    checkLambdaName(name);
  }).toThrow(/invalid function name/);
});

test('a function cannot ask for more memory than the pool has', () => {
  const limits = { procs: 10, mem_mb: 50, cpu_percent: 100, swappiness: 7, runtime_sec: 30, scratch_mb: 64 };
  const settings = { limits, memPoolMb: 500 } as LambdaSettings;
  expect(sandboxLimits(settings, { mem_mb: 500 })).toEqual({
    memMb: 500,
    procs: 10,
    cpuPercent: 100,
    swapBytes: 7,
    scratchMb: 64,
  });
  expect(() => sandboxLimits(settings, { mem_mb: 501 })).toThrow('limits.mem_mb is 501, but mem_pool_mb is 500');
});
