/** A whole worker with a victim, an attacker, and a function that asked for a malicious package. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startMirror, type Mirror } from '../../../packages-mirror/server';
import { deploy, invoke } from '../../support/deploy';
import { zygotes } from '../../support/reports';
import { E2eWorker } from '../../support/spawned-worker';
import { Keeper } from '../../support/helper/keeper';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';

const VM = process.env['ARGYLE_VM'] === '1';
jest.setTimeout(VM ? 900_000 : 180_000);

const ROUNDS = VM ? 3 : 15;
const SPEC = 'argyle_hostile==1.0.0';
/** A poisoned interpreter would change these answers. */
const VICTIM = `import json, os
def f(event):
    return [json.loads('"clean"'), sorted("ba"), os.environ.get("POISONED"), event["n"]]
`;
const ASKED = `import argyle_hostile, os
def f(event):
    return os.environ.get("POISONED")
`;
const ATTACKER = `import builtins, json, os, signal, socket, stat
def forge():
    text = b'HTTP/1.1 200 OK\\r\\ncontent-length: 8\\r\\n\\r\\n"forged"'
    for fd in range(3, 100):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                with socket.socket(fileno=os.dup(fd)) as end:
                    end.send(text * 3)
        except OSError:
            pass
def replace_victim(event):
    with socket.socket() as s:
        s.connect(("127.0.0.1", event["port"]))
        s.send(b"DELETE /registry/victim HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n")
        return s.recv(100).decode()
def f(event):
    if event.get("port"):
        try:
            return replace_victim(event)
        except OSError as error:
            return str(error)
    json.loads = lambda *_, **__: "poisoned"
    builtins.sorted = lambda _: "poisoned"
    os.environ["POISONED"] = "yes"
    try:
        os.kill(-1, signal.SIGKILL)
    except OSError:
        pass
    if os.fork() == 0:
        while True:
            signal.pause()
    forge()
    return "genuine"
`;

describePrivileged('in one worker', () => {
  const dir = mkdtempSync(join(tmpdir(), 'argyle-hostile-'));
  const keeper = new Keeper();
  let mirror: Mirror | undefined;
  let worker: E2eWorker | undefined;

  beforeAll(async () => {
    keeper.directory(dir);
    execFileSync('/usr/bin/python3', [join(__dirname, 'hostile_wheel.py'), dir, 'argyle_hostile']);
    mirror = await startMirror({ dir });
    const tree = { packages: [], children: [{ packages: [SPEC], children: [] }] };
    const config = { pip_mirror: mirror.url, import_cache_tree: tree, features: { import_cache: 'tree' } };
    worker = new E2eWorker({ config });
    keeper.worker(worker.dir);
    keeper.directory(worker.top);
    await worker.init();
    await worker.up();
    await deploy(worker.url, { 'f.py': VICTIM }, 'victim');
    await deploy(worker.url, { 'f.py': ATTACKER }, 'attacker');
    await deploy(worker.url, { 'f.py': ASKED, 'requirements.txt': `${SPEC}\n` }, 'asked');
  });

  afterAll(async () => {
    await worker?.remove();
    await mirror?.close();
    await keeper.end();
  });

  const url = (): string => worker?.url ?? '';
  /** A call that hangs fails by itself with a clear message. */
  const call = (name: string, event: object) =>
    invoke(url(), name, event, { signal: AbortSignal.timeout(VM ? 240_000 : 40_000) });

  async function victimServed(n: number): Promise<void> {
    const answer = await call('victim', { n });
    expect([answer.status, JSON.parse(answer.body)]).toEqual([200, ['clean', ['a', 'b'], null, n]]);
  }

  /**
   * Starts another function that asked for the package. It is forked from the package's zygote, which kills it
   * repeatedly.
   */
  async function forkOfHostile(): Promise<void> {
    const node = async () => (await zygotes(url())).find((one) => one.packages.length === 1);
    await until('its zygote is ready', async () => (await node())?.state === 'ready');
    await deploy(url(), { 'f.py': ASKED, 'requirements.txt': `${SPEC}\n` }, 'asked-too');
    await call('asked-too', {});
    expect((await node())?.forks).toBeGreaterThan(0);
  }

  it('the victim gets its own answers, whatever the other functions do', async () => {
    await victimServed(0);
    // These controls show that the attack still works against functions that asked for the package.
    expect((await call('attacker', {})).body).toContain('forged');
    expect((await call('asked', {})).body).toContain('yes');
    await forkOfHostile();
    for (let round = 1; round <= ROUNDS; round++) {
      const others = ['attacker', 'attacker', 'asked', 'asked-too'].map((name) => call(name, {}));
      await Promise.all([victimServed(round), victimServed(-round)]);
      await Promise.allSettled(others);
    }
    await victimServed(1000);
  });

  it('a function cannot remove another function through the worker', async () => {
    const port = Number(new URL(url()).port);
    const answer = await call('attacker', { port });
    expect(answer.body).toContain('Operation not permitted');
    await victimServed(2000);
    // The control: a client that can reach the worker's port can remove the function.
    expect((await fetch(`${url()}/registry/asked`, { method: 'DELETE' })).status).toBe(200);
  });

  it('the worker leaves nothing of them when it stops', async () => {
    const guests = worker?.guests() ?? [];
    expect(guests.length).toBeGreaterThan(1);
    await worker?.down();
    expect(worker?.cgroups()).toEqual([]);
    expect(worker?.mounts()).toEqual([]);
    for (const guest of guests) expect(() => process.kill(guest.pid, 0)).toThrow('ESRCH');
  });
});
