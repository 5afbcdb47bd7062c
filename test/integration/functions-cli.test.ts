/** `ol new`, `ls`, `invoke`, `describe`, `rm` and `top` against a real worker, in separate processes. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { TEMPLATES } from '../../src/cli/functions/templates';
import { OlDir } from '../support/ol';
import { freePort } from '../support/ports';
import { describePrivileged } from '../support/privileged';
import { until } from '../support/until';

jest.setTimeout(120_000);

describePrivileged('commands about functions', () => {
  const here = new OlDir();
  const ol = (...args: string[]) => here.ol(args);
  const W = ['-p', 'w'];

  beforeAll(async () => {
    await here.start(String(await freePort()));
  });
  afterAll(() => here.dispose());

  test('ol ls of a new worker prints an empty list and the next step', async () => {
    expect(await ol('ls', ...W)).toEqual({
      code: 0,
      out: '',
      err: 'no functions; ol new makes one, ol admin install uploads it\n',
    });
    expect(await ol('ls', '--json', ...W)).toMatchObject({ code: 0, out: '[]\n' });
  });

  test.each(['f', 'wsgi', 'asgi'])('ol new -t %s makes a function that can be installed and called', async (kind) => {
    const name = `made-${kind}`;
    expect(await ol('new', name, '-t', kind)).toMatchObject({ code: 0, err: '' });
    expect(await ol('admin', 'install', ...W, name)).toMatchObject({ code: 0 });
    const said = { f: '{"greeting": "Hello, world!"}\n', wsgi: 'Hello from /\n', asgi: 'Hello from /\n' };
    expect(await ol('invoke', name, ...W, '-d', '{}')).toEqual({
      code: 0,
      out: said[kind as keyof typeof said],
      err: '',
    });
  });

  test('the call after ol admin install runs the new code', async () => {
    mkdirSync(here.path('changes'));
    for (const n of [1, 2, 3]) {
      writeFileSync(here.path('changes/f.py'), `def f(event):\n    return ${n}\n`);
      expect(await ol('admin', 'install', ...W, 'changes')).toMatchObject({ code: 0 });
      expect(await ol('invoke', 'changes', ...W)).toMatchObject({ code: 0, out: `${n}\n` });
    }
    expect(await ol('rm', 'changes', ...W)).toMatchObject({ code: 0 });
  });

  test('ol new refuses to overwrite files, and lists its templates', async () => {
    expect(await ol('new', 'made-f')).toMatchObject({ code: 1, err: 'made-f exists already; nothing was written\n' });
    expect(await ol('new', 'x', '-t', 'flsk')).toMatchObject({
      code: 1,
      err: 'there is no template "flsk"; did you mean flask?\n',
    });
    expect((await ol('new', 'a b')).code).toBe(1);
    expect(existsSync(here.path('a b'))).toBe(false);
    expect(Object.keys(TEMPLATES)).toEqual(['f', 'wsgi', 'asgi', 'flask', 'fastapi']);
  });

  test('ol invoke takes the event from -d, -f or standard input, and shows headers with -i', async () => {
    writeFileSync(here.path('event.json'), '{"name": "file"}');
    expect((await ol('invoke', ...W, '-d', '{"name": "data"}', 'made-f')).out).toContain('Hello, data!');
    expect((await ol('invoke', 'made-f', '-f', 'event.json', ...W)).out).toContain('Hello, file!');
    expect(await ol('invoke', 'made-f', '-i', ...W)).toMatchObject({
      code: 0,
      out: expect.stringMatching(
        /^200\n(?:[\w-]+: .*\n)*content-type: application\/json\n(?:[\w-]+: .*\n)*\n\{/,
      ) as string,
    });
    expect(await ol('invoke', 'made-f', '-d', '{}', '-f', 'event.json', ...W)).toMatchObject({
      code: 1,
      err: 'only one of -d and -f may be given\n',
    });
    expect(await ol('invoke', 'made-f', '-f', 'nowhere', ...W)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^nowhere cannot be read: ENOENT/) as string,
    });
    expect((await ol('invoke', 'made-wsgi/deep/path', ...W)).out).toBe('Hello from /deep/path\n');
  });

  test("ol invoke fails with a failing function's answer, and suggests the name for a typo", async () => {
    mkdirSync(here.path('broken'));
    writeFileSync(here.path('broken/f.py'), 'def f(event):\n    raise ValueError("no luck")\n');
    await ol('admin', 'install', ...W, 'broken');
    const failed = await ol('invoke', 'broken', ...W);
    expect(failed).toMatchObject({ code: 1, out: '' });
    expect(failed.err).toMatch(/^broken answered 500: Traceback[^]*ValueError: no luck\n/);
    const missing = await ol('invoke', 'brokn', ...W);
    expect(missing).toMatchObject({ code: 1, out: '' });
    expect(missing.err).toMatch(/^there is no function brokn at http:\S+; did you mean broken\?\n$/);
  });

  test('ol invoke --async returns at once, and the function runs', async () => {
    mkdirSync(here.path('slow'));
    writeFileSync(here.path('slow/f.py'), 'import time\ndef f(event):\n    time.sleep(1)\n    return 1\n');
    await ol('admin', 'install', ...W, 'slow');
    expect(await ol('invoke', 'slow', '--async', ...W)).toEqual({ code: 0, out: '', err: '' });
    await until(
      'the call is counted',
      async () => {
        const { out } = await ol('top', '-n', '1', '-i', '0.1', '--json', ...W);
        return out.includes('"slow"');
      },
      30_000,
    );
  });

  test('ol describe shows settings and packages as text and as JSON', async () => {
    const { code, out } = await ol('describe', 'made-f', ...W);
    expect({ code, out }).toMatchObject({ code: 0, out: expect.stringMatching(/^name: made-f\nurl: http/) as string });
    const found = JSON.parse((await ol('describe', 'made-f', '--json', ...W)).out) as Record<string, unknown>;
    expect(Object.keys(found)).toEqual(['name', 'url', 'config', 'settings', 'install']);
    expect(found['config']).toEqual({
      Triggers: { HTTP: [{ Method: '*' }], Cron: null, Kafka: null },
      Environment: { EXAMPLE: 'a variable that the code finds in os.environ' },
      ReuseSandbox: true,
    });
    const limits = {
      mem_mb: 50,
      procs: 10,
      cpu_percent: 100,
      runtime_sec: 30,
      scratch_mb: expect.any(Number) as number,
    };
    const settings = { limits, scale: { min: 0, max: 0 }, concurrency: 1 };
    expect(found['settings']).toEqual(settings);
    writeFileSync(here.path('made-asgi/ol.yaml'), 'limits: {mem_mb: 70}\nscale: {max: 3}\nconcurrency: 5\n');
    await ol('admin', 'install', ...W, 'made-asgi');
    const changed = JSON.parse((await ol('describe', 'made-asgi', '--json', ...W)).out) as Record<string, unknown>;
    expect(changed['settings']).toEqual({
      limits: { ...limits, mem_mb: 70 },
      scale: { min: 0, max: 3 },
      concurrency: 5,
    });
    expect((await ol('describe', 'made-g', ...W)).err).toMatch(/did you mean made-f\?/);
  });

  test('ol rm deletes one function', async () => {
    expect(await ol('rm', 'made-asgi', ...W)).toEqual({
      code: 0,
      out: 'Lambda made-asgi deleted successfully\n',
      err: '',
    });
    expect((await ol('rm', 'made-asgi', ...W)).code).toBe(1);
    expect(JSON.parse((await ol('ls', '--json', ...W)).out)).not.toContain('made-asgi');
    expect(await ol('rm', ...W)).toMatchObject({ code: 1, err: 'exactly one function must be given, found 0: \n' });
  });

  test('ol top prints a table of the called functions', async () => {
    const running = ol('top', '-n', '1', '-i', '2', ...W);
    for (let i = 0; i < 5; i++) await ol('invoke', 'made-f', ...W);
    const { code, out } = await running;
    expect(code).toBe(0);
    expect(out).toMatch(
      /^http:\S+ {2}[\d.]+ requests\/s {2}[\d.]+ % cold {2}0 queued\ninstances: .*memory: \d+ of \d+ MB\n/,
    );
    expect(out).toMatch(/^FUNCTION +REQ\/S +P50 MS +P99 MS +FAILED %$/m);
    expect(out).toMatch(/^made-f +[\d.]+ /m);
    expect(await ol('top', '-i', 'x', ...W)).toMatchObject({
      code: 1,
      err: '--interval must be a number of at least 0.1, not x\n',
    });
  });
});

test('an unreachable worker is named, with the command that starts it', async () => {
  const here = new OlDir();
  try {
    const port = await freePort();
    await here.ol(['worker', 'init', '-p', 'w']);
    here.configure({ worker_port: String(port) });
    const { code, err } = await here.ol(['ls', '-p', 'w']);
    expect(code).toBe(1);
    expect(err).toMatch(/^no answer from http:\S+: .*\nIs the worker running\? Start it with: ol worker up -d\n$/);
  } finally {
    await here.dispose();
  }
});
