/** The output of functions and the errors of their calls, as the functions' owners see them. */
import { spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { packLambda } from '../../support/deploy';
import { describeContract, liveWorker } from '../../support/contract-target';
import { until } from '../../support/until';

interface Line {
  time: string;
  level: string;
  lambda: string;
  sandbox?: string;
  request_id?: string;
  stream: string;
  msg: string;
}

const SAYS = `
import sys
def f(event, context):
    print("out", context.request_id)
    print("err", context.request_id, file=sys.stderr)
    return 1
`;
const BAD = `
import os, time
def f(event):
    if event == "die": os._exit(3)
    if event == "sleep": time.sleep(30)
    raise ValueError("no such thing")
`;
const OL = resolve(__dirname, '../../../bin/ol');

// A loaded machine needs more than the default time.
jest.setTimeout(30_000);

describeContract('the log of a function', () => {
  const worker = liveWorker({ config: { argyle: { admin_token: 'secret' } } });
  const headers = { authorization: 'Bearer secret' };
  let says: string;
  let bad: string;

  const deploy = async (name: string, code: string, limits = ''): Promise<string> => {
    const full = worker.name(name);
    const body = await packLambda({ 'f.py': code, 'ol.yaml': `limits:\n  runtime_sec: 1\n${limits}` });
    expect((await worker.call(`/registry/${full}`, { method: 'POST', body, headers })).status).toBe(201);
    return full;
  };
  const linesOf = async (name: string, query = ''): Promise<Line[]> => {
    const { status, body } = await worker.call(`/logs/${name}${query}`, { headers });
    expect(status).toBe(200);
    return body
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line);
  };

  beforeAll(async () => {
    // `ol logs -p w` reads the worker's port from its config.json.
    worker.dir.configure({ ...worker.dir.json('w/config.json'), worker_port: new URL(worker.url).port });
    says = await deploy('says', SAYS);
    bad = await deploy('bad', BAD);
  }, 60_000);

  test('has each line of concurrent calls, with the id of the call, the id of the sandbox, and the stream', async () => {
    const ids = Array.from({ length: 120 }, (_, i) => `call-${i}`);
    for (let i = 0; i < ids.length; i += 12) {
      const some = ids.slice(i, i + 12);
      await Promise.all(some.map((id) => worker.invoke(says, {}, { headers: { 'X-Request-Id': id } })));
    }
    await until('all lines came', async () => (await linesOf(says)).length === 240, 5000);
    const lines = await linesOf(says);
    expect(lines.filter(({ msg, request_id: id }) => msg.split(' ')[1] !== id)).toEqual([]);
    expect(lines.filter(({ msg, stream }) => stream !== `std${msg.split(' ')[0] ?? ''}`)).toEqual([]);
    expect(lines[0]).toMatchObject({ level: 'info', lambda: says, sandbox: expect.stringMatching(/^\d+$/) as string });
    expect(new Set(lines.map(({ request_id: id }) => id)).size).toBe(120);
  });

  test('ends an unfinished line at the end of its call, with the id of that call', async () => {
    const part = await deploy('part', 'import os, sys\ndef f(event):\n    os.write(event[0], event[1].encode())\n');
    const say = (id: string, fd: number, text: string) =>
      worker.invoke(part, [fd, text], { headers: { 'X-Request-Id': id } });
    await say('call-a', 1, 'of a, unfinished');
    await until('the line came', async () => (await linesOf(part)).length === 1, 5000);
    await say('call-b', 1, 'of b\n');
    await say('call-c', 2, 'of c, unfinished');
    await until('all lines came', async () => (await linesOf(part)).length === 3, 5000);
    expect((await linesOf(part)).map(({ request_id: id, stream, msg }) => [id, stream, msg])).toEqual([
      ['call-a', 'stdout', 'of a, unfinished'],
      ['call-b', 'stdout', 'of b'],
      ['call-c', 'stderr', 'of c, unfinished'],
    ]);
  });

  test("has the traceback of a failed call, and the worker's reason for a missing answer", async () => {
    const call = (event: string) => worker.invoke(bad, event, { headers: { 'X-Request-Id': event } });
    expect((await call('raise')).status).toBe(500);
    expect((await call('die')).status).toBe(502);
    expect((await call('sleep')).status).toBe(502);
    const lines = await linesOf(bad);
    const of = (id: string) => lines.filter(({ request_id: one }) => one === id);
    expect(of('raise').map(({ msg }) => msg)).toContain('ValueError: no such thing');
    expect(of('raise').every(({ stream, level }) => stream === 'stderr' && level === 'warn')).toBe(true);
    expect(of('die')).toEqual([
      expect.objectContaining({
        stream: 'worker',
        level: 'error',
        msg: expect.stringMatching(/^SANDBOX_DEAD: /) as string,
      }),
    ]);
    expect(of('sleep').at(-1)).toMatchObject({ stream: 'worker', msg: expect.stringMatching(/^TIMEOUT: /) as string });
  });

  test('does not exist for a name without a function', async () => {
    await worker.invoke(`${says}x`, {});
    expect((await worker.call(`/logs/${says}x`, { headers })).status).toBe(404);
  });

  test('is printed and followed by `ol logs`', async () => {
    const shown = await worker.dir.ol(['logs', says, '-p', 'w', '--tail', '2']);
    expect(shown.out.trim().split('\n')).toEqual([
      expect.stringMatching(/^\S+Z #\d+ call-\d+ (out|err) call-\d+$/),
      expect.stringMatching(/^\S+Z #\d+ call-\d+ (out|err) call-\d+$/),
    ]);
    const json = await worker.dir.ol(['logs', '--json', '-p', 'w', '--since', '5m', says]);
    expect(JSON.parse(json.out.split('\n')[0] ?? '')).toMatchObject({ lambda: says });
    const none = await worker.dir.ol(['logs', 'nobody', '-p', 'w']);
    expect([none.code, none.err]).toEqual([1, expect.stringContaining('there is no function nobody')]);

    const args = ['logs', '-f', '-p', 'w', says, '--tail', '0'];
    const child = spawn(process.execPath, [OL, ...args], { cwd: worker.dir.path('.') });
    let text = '';
    for (const out of [child.stdout, child.stderr]) out.on('data', (chunk: Buffer) => (text += chunk.toString()));
    try {
      await until(
        'a call is followed',
        async () => {
          await sleep(300);
          await worker.invoke(says, {}, { headers: { 'X-Request-Id': 'followed' } });
          return text.includes('out followed');
        },
        25_000,
      );
    } finally {
      child.kill('SIGKILL');
    }
  });

  test('survives a restart of the worker', async () => {
    const before = await linesOf(says);
    expect(before.length).toBeGreaterThanOrEqual(240);
    expect((await worker.dir.ol(['worker', 'down', '-p', 'w'])).code).toBe(0);
    const port = new URL(worker.url).port;
    expect((await worker.dir.ol(['worker', 'up', '-p', 'w', '-d', '-o', `worker_port=${port}`])).code).toBe(0);
    expect(await linesOf(says)).toEqual(before);
  }, 60_000);
});
