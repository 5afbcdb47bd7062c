/** The engine's answers, from an HTTP server on a socket. test/e2e/worker/docker.test.ts uses a real engine. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../../../src/sandbox/docker/engine';
import { containerOptions } from '../../../../src/sandbox/docker/options';
import { until } from '../../../support/until';

/** A body during which the connection breaks. */
const BREAK = Symbol('break');

type Reply = [status: number, body: unknown];

const OPTIONS = containerOptions(
  { image: 'x', runtime: '', workerDir: '/w/worker', guestDir: '/g', storeDir: '/p' },
  {
    role: 'leaf',
    limits: { memMb: 50, procs: 10, cpuPercent: 100, swapBytes: 0, scratchMb: 20 },
    socketPath: '/s',
    network: 'none',
    user: { uid: 65534, gid: 65534 },
  },
);

describe('Engine', () => {
  const dir = mkdtempSync(join(tmpdir(), 'argyle-engine-'));
  const socketPath = join(dir, 'sock');
  const endpoint = `unix://${socketPath}`;
  const asked: string[] = [];
  let replies: Record<string, Reply> = {};
  let server: Server;
  beforeAll(async () => {
    server = createServer((req, res) => {
      const path = `${req.method ?? ''} ${(req.url ?? '').split('?')[0] ?? ''}`;
      asked.push(path);
      const [status, body] = replies[path] ?? [404, { message: `nothing at ${path}` }];
      if (body === BREAK) {
        res.writeHead(status).write('{');
        setImmediate(() => req.socket.destroy());
        return;
      }
      res.writeHead(status, { 'content-type': 'application/json' }).end(status === 204 ? '' : JSON.stringify(body));
    });
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  });
  beforeEach(() => {
    asked.length = 0;
    replies = { 'GET /info': [200, { Runtimes: { runc: {}, crun: {} } }] };
  });
  afterAll(() => {
    server.close();
    server.closeAllConnections();
    rmSync(dir, { recursive: true, force: true });
  });

  it('names its address and the cause when it is unreachable', async () => {
    await expect(new Engine(`unix://${dir}/none`).check('x', '')).rejects.toMatchObject({
      code: 'DOCKER_ENGINE',
      message: `no Docker engine answers at unix://${dir}/none: connect ENOENT ${dir}/none`,
    });
    await expect(new Engine('tcp://127.0.0.1:1').check('x', '')).rejects.toMatchObject({ code: 'DOCKER_ENGINE' });
  });

  it('has a default address', () => {
    expect(new Engine('').endpoint).toBe('unix:///var/run/docker.sock');
  });

  it('names the missing runtime and image', async () => {
    const engine = new Engine(endpoint);
    await expect(engine.check('x', 'runsc')).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      field: 'docker.runtime',
      message: `docker.runtime: the engine at ${endpoint} has no runtime "runsc" (it has crun, runc)`,
    });
    await expect(engine.check('x', 'crun')).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      field: 'docker.base_image',
      message: `docker.base_image: the engine at ${endpoint} has no image "x": build, pull or import it`,
    });
    replies['GET /images/x/json'] = [200, { Id: 'sha256:1' }];
    await expect(engine.check('x', '')).resolves.toBeUndefined();
  });

  it("names the failed step with the engine's own message", async () => {
    replies['POST /containers/create'] = [400, { message: 'Minimum memory limit allowed is 6MB' }];
    await expect(new Engine(endpoint).create(OPTIONS)).rejects.toMatchObject({
      code: 'DOCKER_ENGINE',
      message: `the Docker engine at ${endpoint} could not create a container: Minimum memory limit allowed is 6MB`,
    });
  });

  it('retries failed removals when the engine works again', async () => {
    const engine = new Engine(endpoint);
    replies['DELETE /containers/1'] = [500, { message: 'device or resource busy' }];
    replies['POST /containers/create'] = [201, { Id: '2' }];
    expect(await engine.remove('1')).toBe(false);
    replies['DELETE /containers/1'] = [204, ''];
    await engine.create(OPTIONS);
    const removals = (): number => asked.filter((path) => path === 'DELETE /containers/1').length;
    await until('it is removed', () => removals() === 2);
    // After a successful removal the container is forgotten.
    await until('nothing more is owed', async () => {
      const before = removals();
      await engine.create(OPTIONS);
      return removals() === before;
    });
  });

  it("waits for a container's exit code, and returns undefined when the engine cannot report it", async () => {
    const engine = new Engine(endpoint);
    replies['POST /containers/1/wait'] = [200, { StatusCode: 137 }];
    expect(await engine.wait('1')).toBe(137);
    expect(await engine.wait('unknown')).toBeUndefined();
    replies['POST /containers/1/wait'] = [200, BREAK];
    expect(await engine.wait('1')).toBeUndefined();
  });

  it('counts a missing container as removed', async () => {
    const engine = new Engine(endpoint);
    replies['POST /containers/create'] = [201, { Id: '2' }];
    expect(await engine.remove('gone')).toBe(true);
    await engine.create(OPTIONS);
    expect(asked).toEqual(['DELETE /containers/gone', 'POST /containers/create']);
  });

  it("removes the leftovers of this worker's directory", async () => {
    replies['GET /containers/json'] = [200, [{ Id: 'a' }, { Id: 'b' }]];
    replies['DELETE /containers/a'] = [204, ''];
    replies['DELETE /containers/b'] = [204, ''];
    expect(await new Engine(endpoint).removeLeftovers('/w/worker')).toBe(2);
    expect(asked.slice(1).sort()).toEqual(['DELETE /containers/a', 'DELETE /containers/b']);
  });
});
