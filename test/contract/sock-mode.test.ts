/** Contract, section 1: sock mode of a live worker. The client makes sandboxes and sends requests to them directly. */
import { mkdirSync, writeFileSync } from 'node:fs';
import * as http from 'node:http';
import { packLambda } from '../support/deploy';
import { describeContract, liveWorker, localTest, replyOf } from '../support/contract-target';
import { until } from '../support/until';

jest.setTimeout(60_000);

describeContract('contract: sock mode', () => {
  const worker = liveWorker({ config: { server_mode: 'sock', mem_pool_mb: 500, limits: { mem_mb: 200 } } });
  let code: string;

  beforeAll(() => {
    code = worker.dir.path('echo');
    mkdirSync(code);
    writeFileSync(`${code}/f.py`, 'def f(event):\n    return event\n');
  });

  const op = (path: string, args?: object) =>
    worker.call(`/${path}`, { method: 'POST', ...(args === undefined ? {} : { body: JSON.stringify(args) }) });
  async function make(args: object): Promise<string> {
    const { status, body } = await op('create', args);
    expect([status, /^\d+\n$/.test(body)]).toEqual([200, true]);
    return body.trim();
  }
  async function destroy(...ids: string[]): Promise<void> {
    for (const id of ids) expect(await op(`destroy/${id}`)).toMatchObject({ status: 200, body: '' });
  }
  /** Sends a request to a sandbox's own socket. */
  function talk(id: string, event: unknown) {
    const socketPath = worker.dir.path('w/worker/scratch', id, 'ol.sock');
    const request = http.request({ socketPath, path: '/', method: 'POST', agent: false });
    const reply = replyOf(request);
    request.end(JSON.stringify(event));
    return reply;
  }

  localTest('1 /create answers `<id>\\n`, decimal, from 1; the client reaches the sandbox by its socket', async () => {
    const [one, two] = [await make({ code }), await make({ code })];
    expect([one, two]).toEqual(['1', '2']);
    expect(await talk(one, { a: 1 })).toMatchObject({ status: 200, body: '{"a": 1}' });
    expect(await talk(two, 2)).toMatchObject({ status: 200, body: '2' });
    await destroy(one, two);
  });

  localTest('1 code is a directory or a .tar.gz', async () => {
    const archive = worker.dir.path('echo.tar.gz');
    writeFileSync(archive, await packLambda(code));
    const id = await make({ code: archive });
    expect(await talk(id, 'packed')).toMatchObject({ status: 200, body: '"packed"' });
    await destroy(id);
  });

  localTest('1 a non-leaf has the code "", and leaves are forked from their parent non-leaf', async () => {
    const parent = await make({ code: '', leaf: false });
    const id = await make({ code, parent });
    expect(await talk(id, 'forked')).toMatchObject({ status: 200, body: '"forked"' });
    expect(await op('create', { code: '' })).toMatchObject({ status: 500 });
    await destroy(id, parent);
  });

  localTest('1 /pause/<id> and /unpause/<id> answer 200 without a body, and freeze and thaw', async () => {
    const id = await make({ code });
    expect(await op(`pause/${id}`)).toMatchObject({ status: 200, body: '' });
    // On a busy machine, the kernel needs some time for this.
    const state = async (name: string) => (await op('debug')).body.includes(`FREEZE STATE: ${name}`);
    await until('it is frozen', () => state('FROZEN'));
    expect(await op(`unpause/${id}`)).toMatchObject({ status: 200, body: '' });
    await until('it is thawed', () => state('THAWED'));
    expect(await talk(id, 1)).toMatchObject({ status: 200, body: '1' });
    await destroy(id);
    expect((await op('debug')).body).toBe('');
  });

  localTest('1 /pause and /unpause also freeze and thaw a non-leaf; its children continue to run', async () => {
    const parent = await make({ code: '', leaf: false });
    const child = await make({ code, parent });
    expect(await op(`pause/${parent}`)).toMatchObject({ status: 200, body: '' });
    expect(await op(`pause/${parent}`)).toMatchObject({ status: 200, body: '' });
    const state = async (name: string) => (await op('debug')).body.includes(`FREEZE STATE: ${name}`);
    await until('it is frozen', () => state('FROZEN'));
    expect(await talk(child, 1)).toMatchObject({ status: 200, body: '1' });
    const refused = await op('create', { code, parent });
    expect(refused).toMatchObject({ status: 500, body: `sandbox '${parent}' is paused: unpause it first\n` });
    expect(await op(`unpause/${parent}`)).toMatchObject({ status: 200, body: '' });
    const late = await make({ code, parent });
    expect(await talk(late, 2)).toMatchObject({ status: 200, body: '2' });
    expect(await op(`pause/${parent}`)).toMatchObject({ status: 200 });
    await destroy(child, late, parent);
    expect((await op('debug')).body).toBe('');
  });

  localTest('1 a chain of non-leaves, each paused after it has a child, is made and destroyed', async () => {
    let parent = '';
    const all: string[] = [];
    for (let i = 0; i < 4; i++) {
      const id = await make({ code: '', leaf: false, parent });
      if (parent !== '') expect(await op(`pause/${parent}`)).toMatchObject({ status: 200 });
      all.push((parent = id));
    }
    await destroy(...all);
    expect((await op('debug')).body).toBe('');
  });

  localTest('1 /destroy of a destroyed sandbox is 200, /pause of it is 500', async () => {
    const id = await make({ code });
    await destroy(id, id);
    expect(await op(`pause/${id}`)).toMatchObject({ status: 500, body: `sandbox '${id}' was destroyed\n` });
  });

  localTest("1 errors have the original's messages", async () => {
    const parent = await make({ code: '', leaf: false });
    for (const [body, text] of [
      [{ code: '' }, 'leaf sandboxes must have codeDir set'],
      [{ code, runtime: 'ruby' }, 'No such runtime `ruby`'],
      [{ code, runtime: 'native', parent }, 'Parent and child have different runtimes'],
    ] as const) {
      expect(await op('create', body)).toMatchObject({ status: 500, body: `${text}\n` });
    }
    await destroy(parent);
  });

  localTest('1 /create blocks until memory is free', async () => {
    const full = [await make({ code }), await make({ code })];
    let made = false;
    const third = make({ code }).finally(() => (made = true));
    // Meanwhile the worker answers other requests, several times.
    for (let i = 0; i < 5; i++) expect((await op('debug')).status).toBe(200);
    expect(made).toBe(false);
    await destroy(full[0] ?? '');
    const id = await third;
    expect(await talk(id, 3)).toMatchObject({ status: 200 });
    await destroy(id, full[1] ?? '');
  });

  localTest.each([
    ['GET', 'create', 'Only POST allowed (found GET)\n'],
    ['POST', 'nothing', 'unknown op nothing\n'],
    ['POST', 'destroy/77', "no sandbox found with ID '77'\n"],
    ['POST', 'pause/x', "no sandbox found with ID 'x'\n"],
    ['POST', 'unpause/', "no sandbox found with ID ''\n"],
  ])('1 every error is a 500 with one line: %s /%s', async (method, path, body) => {
    expect(await worker.call(`/${path}`, { method })).toMatchObject({ status: 500, body });
  });

  localTest('1 a missing or mistyped field closes the connection without an answer', async () => {
    await expect(op('create', {})).rejects.toThrow(/socket hang up|ECONNRESET/);
    await expect(op('create', { code, leaf: 'yes' })).rejects.toThrow(/socket hang up|ECONNRESET/);
    expect(await worker.call('/status')).toMatchObject({ status: 200, body: 'ready\n' });
  });

  localTest('1 /status, /stats, /pprof and /registry are those of lambda mode', async () => {
    expect(JSON.parse((await worker.call('/stats')).body)).toHaveProperty(['Create().cnt']);
    expect(await worker.call('/registry/')).toMatchObject({
      status: 200,
      body: expect.stringContaining('[') as string,
    });
    expect(await worker.call('/pprof/cpu-stop')).toMatchObject({ status: 400, body: '' });
  });

  localTest("2 a client's sandboxes end with the worker", async () => {
    await make({ code });
    await worker.dir.ol(['worker', 'down', '-p', 'w']);
    await until('nobody answers', () =>
      worker.call('/status').then(
        () => false,
        () => true,
      ),
    );
    expect(worker.dir.json('w/worker/stats.json')['Destroy().cnt']).toBeGreaterThan(0);
  });
});
