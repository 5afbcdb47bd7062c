/** Sandboxes with `sandbox: "docker"` over a real engine: their features and limits, and what remains afterwards. */
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Agent, request } from 'undici';
import type { DockerEngine } from '../../../bench/subjects/engine';
import { deploy, invoke, packLambda, upload } from '../../support/deploy';
import { debug } from '../../support/reports';
import { EngineView, IMAGE, SocketProxy, startTestEngine, whyNoEngine } from '../../support/docker';
import { E2eWorker, type E2eOptions } from '../../support/spawned-worker';
import { startTestMirror } from '../../support/mirror';
import { describePrivileged } from '../../support/privileged';
import { NATIVE_ECHO, buildStatic } from '../../support/native';
import { until } from '../../support/until';

jest.setTimeout(180_000);

const why = whyNoEngine();
const suite = why === undefined ? describe : describe.skip;

/** A function that examines its own confinement. */
const PROBE = `
import os

def f(event):
    status = dict(line.rstrip().split(":\\t", 1) for line in open("/proc/self/status"))
    writable = []
    for path in ("/", "/handler", "/packages", "/runtime", "/run", "/host", "/tmp"):
        try:
            open(path + "/probe", "w").close()
            writable.append(path)
        except OSError:
            pass
    return {
        "ids": [os.getuid(), os.getgid()],
        "capabilities": [status["CapEff"], status["CapBnd"]],
        "no_new_privs": status["NoNewPrivs"],
        "seccomp": status["Seccomp"],
        "writable": writable,
        "devices": sorted(os.listdir("/sys/class/net")),
        "env": os.environ.get("GREETING"),
        "event": event,
    }
`;
const PID = 'import os\n\nCOUNT = 0\n\ndef f(event):\n    global COUNT\n    COUNT += 1\n    return COUNT\n';

suite(`[optional] docker sandboxes${why === undefined ? '' : ` (${why})`}`, () => {
  let engine: DockerEngine;
  let docker: EngineView;
  beforeAll(async () => {
    engine = await startTestEngine();
    const socketPath = engine.endpoint.slice('unix://'.length);
    docker = new EngineView(socketPath);
    // The mode has the effect of membership in the socket's group.
    chmodSync(dirname(socketPath), 0o711);
    chmodSync(socketPath, 0o666);
  });
  afterAll(async () => {
    try {
      expect(await containers()).toEqual([]);
    } finally {
      await engine.stop();
    }
  });

  const containers = async (): Promise<string[]> => (await docker.list()).map(({ State: state }) => state);
  const makeWorker = (
    config: Record<string, unknown> = {},
    argyle: Record<string, unknown> = {},
    as: NonNullable<E2eOptions['as']> = 'root',
    endpoint = engine.endpoint,
  ): E2eWorker => {
    const given = { sandbox: 'docker', features: { import_cache: '' }, argyle: { network: 'none', ...argyle } };
    return new E2eWorker({ as, config: { ...given, ...config }, env: { DOCKER_HOST: endpoint } });
  };
  const withWorker = async (body: (worker: E2eWorker) => Promise<void>, worker = makeWorker()): Promise<void> => {
    try {
      await worker.init();
      await worker.up();
      await body(worker);
      await worker.down();
      expect(await containers()).toEqual([]);
      expect(readdirSync(join(worker.dir, 'worker/scratch'))).toEqual([]);
    } finally {
      await worker.remove();
    }
  };

  describe('in lambda mode', () => {
    let worker: E2eWorker;
    beforeAll(async () => {
      worker = makeWorker();
      await worker.init();
      await worker.up();
    });
    afterAll(() => worker.remove());

    it('runs a confined function with the environment of its ol.yaml', async () => {
      const files = { 'f.py': PROBE, 'ol.yaml': 'environment:\n  GREETING: "hello"\n' };
      await deploy(worker.url, files, 'probe');
      const { status, body } = await invoke(worker.url, 'probe', { x: ['ä'] });
      expect({ status, found: JSON.parse(body) as unknown }).toEqual({
        status: 200,
        found: {
          ids: [65534, 65534],
          capabilities: ['0000000000000000', '0000000000000000'],
          no_new_privs: '1',
          seccomp: '2',
          writable: ['/host', '/tmp'],
          devices: ['lo'],
          env: 'hello',
          event: { x: ['ä'] },
        },
      });
    });

    it('sets the limits of config.json in the engine, and those of ol.yaml if they exist', async () => {
      const files = { 'f.py': PID, 'ol.yaml': 'limits:\n  mem_mb: 72\n  procs: 7\n  cpu_percent: 50\n' };
      await deploy(worker.url, files, 'limited');
      await invoke(worker.url, 'limited');
      const left = await docker.list();
      const all = await Promise.all(left.map(({ Id: id }) => docker.inspect(id)));
      const found = all.map(({ HostConfig: host }) => [host.Memory, host.MemorySwap, host.PidsLimit, host.CpuQuota]);
      expect(found).toContainEqual([72 << 20, 72 << 20, 7, 50_000]);
      for (const { Config: config, Image: image } of all) {
        expect(config.Labels['argyle.worker']).toBe(join(worker.dir, 'worker'));
        expect(image).toBe(await docker.imageId(IMAGE));
      }
    });

    it('pauses an idle sandbox in the engine, and thaws it for the next request', async () => {
      await deploy(worker.url, { 'f.py': PID }, 'counter');
      expect((await invoke(worker.url, 'counter')).body).toBe('1');
      await until('all are paused', async () => (await containers()).every((state) => state === 'paused'));
      const shown = await debug(worker.url);
      expect(shown).toMatch(/^SANDBOX \d+ \(DOCKER\)\nROOT DIR: image ol-min, container [0-9a-f]{12}$/m);
      expect(shown).toMatch(/^FREEZE STATE: FROZEN\nMEMORY USED: \d+ of 50 MB\nOOM KILLS: 0$/m);
      expect((await invoke(worker.url, 'counter')).body).toBe('2');
    });

    it('serves consecutive requests of WSGI, and streams of ASGI', async () => {
      await deploy(worker.url, 'wsgi');
      await deploy(worker.url, 'sse');
      for (let i = 0; i < 2; i++) {
        expect(JSON.parse((await invoke(worker.url, 'wsgi/a?b=c', 7)).body)).toMatchObject({
          SCRIPT_NAME: '/run/wsgi',
          PATH_INFO: '/a',
          QUERY_STRING: 'b=c',
          body: '7',
        });
        const { status, body } = await invoke(worker.url, 'sse?count=2&ms=1');
        expect({ status, events: body.match(/^id: /gm)?.length }).toEqual({ status: 200, events: 2 });
      }
    });

    it('serves the next request after a client disconnected', async () => {
      const source = 'import time\n\ndef f(event):\n    time.sleep(event.get("s", 0))\n    return "here"\n';
      await deploy(worker.url, { 'f.py': source }, 'sleeper');
      const leaving = new AbortController();
      const left = invoke(worker.url, 'sleeper', { s: 60 }, { signal: leaving.signal });
      await until('it runs', async () => (await containers()).includes('running'));
      leaving.abort();
      await expect(left).rejects.toThrow();
      expect((await invoke(worker.url, 'sleeper', {})).body).toBe('"here"');
    });

    it('runs the native runtime', async () => {
      const dir = join(worker.top, 'native');
      mkdirSync(dir);
      buildStatic(NATIVE_ECHO, join(dir, 'f.bin'));
      expect((await upload(worker.url, 'native', await packLambda(dir))).status).toBe(201);
      expect((await invoke(worker.url, 'native', { n: 1 })).body).toBe('{"native":{"n":1}}');
    });

    it('answers 502 for a function that exits, cannot be imported, or needs too much memory', async () => {
      await deploy(worker.url, { 'f.py': 'import os\n\ndef f(event):\n    os._exit(3)\n' }, 'exits');
      await deploy(worker.url, { 'f.py': 'import nonsense\n' }, 'broken');
      await deploy(worker.url, { 'f.py': 'def f(event):\n    return len(bytearray(200 << 20))\n' }, 'hungry');
      const ends = {
        exits: 'OOM KILLS: 0\nENDED: its first process exited with 3\n',
        broken: "the function could not be loaded: ModuleNotFoundError: No module named 'nonsense'",
        hungry: 'OOM KILLS: 1\nENDED: out of memory',
      };
      for (const [name, said] of Object.entries(ends)) {
        // The engine may report a death after the answer has stopped waiting for it.
        await until(`${name} says ${said}`, async () => {
          const { status, body } = await invoke(worker.url, name);
          expect({ name, status }).toEqual({ name, status: 502 });
          expect(body).toMatch(/^RoundTrip failed: /);
          return body.includes(said);
        });
      }
      expect(worker.output()).toContain("No module named 'nonsense'");
    });

    it('limits the number of processes', async () => {
      const source = `
import subprocess

def f(event):
    started = []
    try:
        for _ in range(40):
            started.append(subprocess.Popen(["/usr/bin/python3", "-c", "import time; time.sleep(60)"]))
    except OSError as error:
        return [error.errno, len(started) < 12]
    finally:
        for process in started:
            process.kill()
            process.wait()
`;
      await deploy(worker.url, { 'f.py': source, 'ol.yaml': 'limits:\n  mem_mb: 400\n' }, 'forks');
      expect((await invoke(worker.url, 'forks')).body).toBe('[11, true]');
    });

    it('replaces a sandbox whose container was removed from outside', async () => {
      await deploy(worker.url, { 'f.py': PID }, 'removed');
      expect((await invoke(worker.url, 'removed')).body).toBe('1');
      for (const { Id: id } of await docker.list()) await docker.remove(id);
      await until('the worker knows', async () => !(await debug(worker.url)).includes('FROZEN'));
      expect((await invoke(worker.url, 'removed')).body).toBe('1');
    });

    it('leaves no container and no socket when it stops', async () => {
      await worker.down();
      expect(await containers()).toEqual([]);
      expect(readdirSync(join(worker.dir, 'worker/scratch'))).toEqual([]);
      await worker.up();
    });
  });

  it.each<NonNullable<E2eOptions['as']>>(['root', 'user'])('installs packages in containers, as %s', async (as) => {
    const mirror = await startTestMirror();
    try {
      const worker = makeWorker({ pip_mirror: mirror.url }, { network: 'host' }, as);
      await withWorker(async () => {
        await deploy(worker.url, 'sample-tiny');
        const first = await invoke(worker.url, 'sample-tiny', {});
        expect({ status: first.status, body: first.body }).toMatchObject({ status: 200 });
        const missing = { 'f.py': PID, 'requirements.txt': 'argyle-no-such-package==1.0\n' };
        await deploy(worker.url, missing, 'missing');
        const { status, body } = await invoke(worker.url, 'missing');
        expect(status).toBe(500);
        expect(body).toContain('could not install argyle-no');
        const installed = readdirSync(join(worker.dir, 'lambda/packages'));
        expect(installed.filter((name) => name.startsWith('.stage-'))).toEqual([]);
        expect(installed).toContainEqual(expect.stringMatching(/^argyle-sample-tiny==/));
      }, worker);
    } finally {
      await mirror.close();
    }
  });

  it.each(['force-cleanup', 'up'])('removes the containers of a killed worker, by %s', async (command) => {
    const worker = makeWorker();
    await withWorker(async () => {
      await deploy(worker.url, { 'f.py': PID }, 'left');
      await invoke(worker.url, 'left');
      await until('it is paused', async () => (await containers()).includes('paused'));
      process.kill(worker.pid(), 'SIGKILL');
      if (command === 'up') await worker.up();
      else expect((await worker.ol('worker', 'force-cleanup', `-p=${worker.dir}`)).code).toBe(0);
      expect(await containers()).toEqual([]);
      if (command !== 'up') await worker.up();
      expect((await invoke(worker.url, 'left')).status).toBe(200);
    }, worker);
  });

  it('ends running guests when the worker is killed', async () => {
    const worker = makeWorker({}, { pause_after_ms: 600_000 });
    await withWorker(async () => {
      await deploy(worker.url, { 'f.py': PID }, 'left');
      await invoke(worker.url, 'left');
      expect(await containers()).toEqual(['running']);
      process.kill(worker.pid(), 'SIGKILL');
      await until('it has ended', async () => !(await containers()).includes('running'));
      await worker.up();
    }, worker);
  });

  it('reports an unreachable engine, and recovers when the engine is back', async () => {
    const proxy = new SocketProxy(engine.endpoint.slice('unix://'.length));
    await proxy.open();
    const worker = makeWorker({}, { pause_after_ms: 600_000 }, 'root', proxy.endpoint);
    try {
      await withWorker(async () => {
        await deploy(worker.url, { 'f.py': PID }, 'away');
        await invoke(worker.url, 'away');
        await proxy.close();
        let answer = await invoke(worker.url, 'away');
        await until('the worker has noticed', async () => {
          answer = await invoke(worker.url, 'away');
          return answer.status === 500;
        });
        expect(answer.headers.get('x-argyle-error')).toBe('DOCKER_ENGINE');
        const said = `could not create Sandbox: no Docker engine answers at ${proxy.endpoint}: connect ENOENT `;
        expect(answer.body).toContain(said);
        await proxy.open();
        expect((await invoke(worker.url, 'away')).body).toBe('1');
        await until('the lost container is removed', async () => (await containers()).length === 1);
      }, worker);
    } finally {
      await proxy.close();
    }
  });

  it('serves sock mode without parents', async () => {
    const worker = makeWorker({ server_mode: 'sock' });
    await withWorker(async () => {
      const op = async (path: string, body?: unknown): Promise<string> =>
        (await fetch(`${worker.url}/${path}`, { method: 'POST', body: JSON.stringify(body) })).text();
      const code = join(worker.top, 'code');
      mkdirSync(code);
      writeFileSync(join(code, 'f.py'), PID);
      expect(await op('create', { code })).toBe('1\n');
      const socketPath = join(worker.dir, 'worker/scratch/1/ol.sock');
      const call = async (): Promise<string> => {
        const dispatcher = new Agent({ connect: { socketPath }, pipelining: 0 });
        const { body } = await request('http://root/run/x', { method: 'POST', body: '{}', dispatcher });
        const text = await body.text();
        await dispatcher.close();
        return text;
      };
      expect([await call(), await call()]).toEqual(['1', '2']);
      expect(await op('pause/1')).toBe('');
      expect(await containers()).toEqual(['paused']);
      expect(await op('debug')).toContain('SANDBOX 1 (DOCKER)\n');
      expect(await op('unpause/1')).toBe('');
      expect(await call()).toBe('3');
      expect(await op('create', { code: '', leaf: false })).toBe('docker sandboxes cannot be parents\n');
      expect(await op('destroy/1')).toBe('');
      expect(await containers()).toEqual([]);
      const native = join(worker.top, 'native');
      mkdirSync(native);
      buildStatic(NATIVE_ECHO, join(native, 'f.bin'));
      expect(await op('create', { code: native, runtime: 'native' })).toBe('3\n');
    }, worker);
  });

  it.each([
    ['image', { docker: { base_image: 'nowhere' } }, /docker\.base_image: the engine at \S+ has no image "nowhere"/],
    [
      'runtime',
      { docker: { runtime: 'runsc' } },
      /docker\.runtime: the engine at \S+ has no runtime "runsc" \(it has .*runc/,
    ],
  ])('names a missing %s', async (_what, config, message) => {
    const worker = makeWorker(config);
    try {
      await worker.init();
      await expect(worker.up()).rejects.toThrow(message);
    } finally {
      await worker.remove();
    }
  });
});

describePrivileged('a docker engine that does not exist', () => {
  it('the error names the engine and the cause', async () => {
    const worker = new E2eWorker({
      config: { sandbox: 'docker', features: { import_cache: '' } },
      env: { DOCKER_HOST: 'unix:///nonexistent/docker.sock' },
    });
    try {
      await worker.init();
      await expect(worker.up()).rejects.toThrow(
        'no Docker engine answers at unix:///nonexistent/docker.sock: connect ENOENT /nonexistent/docker.sock',
      );
    } finally {
      await worker.remove();
    }
  });
});
