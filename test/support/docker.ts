/** A Docker engine for tests, with an image that contains this machine's Python. Nothing is downloaded. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Agent, request } from 'undici';
import { DockerEngine } from '../../bench/subjects/engine';
import { findProgram } from '../../bench/subjects/programs';

/** The default name in configs. */
export const IMAGE = 'ol-min';
const PYTHON = '/usr/bin/python3';
/** Parts of the standard library that no test imports, and caches. */
const LEFT_OUT = /\/(test|idlelib|lib2to3|ensurepip|pydoc_data|config-[^/]*|tkinter|turtledemo)$/;

/** Why an engine cannot run on this machine; undefined when it can. */
export function whyNoEngine(): string | undefined {
  if (process.getuid?.() !== 0) return 'root is needed';
  const missing = ['/usr/sbin/dockerd', PYTHON].find((path) => !existsSync(path));
  return missing === undefined ? undefined : `${missing} is missing`;
}

/** Starts a separate engine for the tests, even if another one is running, and imports the image. */
export async function startTestEngine(): Promise<DockerEngine> {
  const engine = new DockerEngine();
  const folder = mkdtempSync(join(tmpdir(), 'argyle-image-'));
  try {
    await engine.startOwn(await findProgram('dockerd'));
    makePythonRoot(join(folder, 'root'));
    await engine.importImage(join(folder, 'root'), IMAGE);
    return engine;
  } catch (error) {
    await engine.stop();
    throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The parts of the API's container description that tests read. */
interface Inspected {
  Image: string;
  Config: { Labels: Record<string, string> };
  HostConfig: { Memory: number; MemorySwap: number; PidsLimit: number; CpuQuota: number };
}

/** Accesses an engine directly, without the worker. */
export class EngineView {
  private readonly dispatcher: Agent;

  constructor(socketPath: string) {
    this.dispatcher = new Agent({ connect: { socketPath } });
  }

  async list(): Promise<{ Id: string; State: string }[]> {
    return (await this.ask('GET', '/containers/json?all=1')) as { Id: string; State: string }[];
  }

  async inspect(id: string): Promise<Inspected> {
    return (await this.ask('GET', `/containers/${id}/json`)) as Inspected;
  }

  async imageId(name: string): Promise<string> {
    return ((await this.ask('GET', `/images/${name}/json`)) as { Id: string }).Id;
  }

  async remove(id: string): Promise<void> {
    await this.ask('DELETE', `/containers/${id}?force=1`);
  }

  private async ask(method: 'GET' | 'DELETE', path: string): Promise<unknown> {
    const { statusCode, body } = await request(`http://docker${path}`, { method, dispatcher: this.dispatcher });
    const text = await body.text();
    if (statusCode >= 400) throw new Error(`${method} ${path}: ${statusCode} ${text}`);
    return text === '' ? undefined : JSON.parse(text);
  }
}

/** A socket proxy in front of an engine. It can make the engine seem to stop and start. */
export class SocketProxy {
  private readonly folder = mkdtempSync(join(tmpdir(), 'argyle-proxy-'));
  private readonly path = join(this.folder, 'docker.sock');
  private readonly sockets = new Set<Socket>();
  private server: Server | undefined;

  constructor(private readonly target: string) {}

  /** Address in DOCKER_HOST's format. */
  get endpoint(): string {
    return `unix://${this.path}`;
  }

  async open(): Promise<void> {
    mkdirSync(this.folder, { recursive: true });
    const server = createServer((near) => {
      const far = connect(this.target);
      for (const socket of [near, far]) {
        this.sockets.add(socket);
        socket.on('error', () => undefined);
        socket.on('close', () => {
          near.destroy();
          far.destroy();
          this.sockets.delete(socket);
        });
      }
      near.pipe(far).pipe(near);
    });
    this.server = server;
    await new Promise<void>((resolve) => server.listen(this.path, resolve));
  }

  /** Closes the socket and all connections. */
  async close(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    this.sockets.forEach((socket) => socket.destroy());
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A root directory with python3, pip and their shared libraries. */
function makePythonRoot(root: string): void {
  for (const name of ['usr/bin', 'usr/lib', 'usr/lib64', 'etc', 'host', 'tmp'])
    mkdirSync(join(root, name), { recursive: true });
  for (const name of ['bin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, join(root, name));
  const binary = realpathSync(PYTHON);
  const stdlib = execFileSync(PYTHON, ['-c', 'import os; print(os.path.dirname(os.__file__))'], { encoding: 'utf8' });
  const lib = stdlib.trim();
  const copy = (path: string): void => {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    cpSync(path, join(root, path), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (from) => !LEFT_OUT.test(from),
    });
  };
  copy(binary);
  symlinkSync(binary.slice(binary.lastIndexOf('/') + 1), join(root, PYTHON));
  copy(lib);
  const pip = '/usr/lib/python3/dist-packages/pip';
  if (existsSync(pip)) copy(pip);
  const extensions = readdirSync(join(lib, 'lib-dynload')).map((name) => join(lib, 'lib-dynload', name));
  for (const library of sharedLibraries([binary, ...extensions])) {
    const to = join(root, 'usr', library.replace(/^\/usr/, ''));
    mkdirSync(dirname(to), { recursive: true });
    cpSync(realpathSync(library), to);
  }
}

/** The libraries that the dynamic linker would load for these files. */
function sharedLibraries(files: readonly string[]): Set<string> {
  const shown = execFileSync('ldd', files, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const found = [...shown.matchAll(/(?:=> |^\s+)(\/\S+) \(0x/gm)].map((match) => match[1] ?? '');
  return new Set(found);
}
