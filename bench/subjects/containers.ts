import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SkipSubject } from '../subject';
import { DockerEngine } from './engine';
import { findProgram, ProgramSubject, PYTHON_PASS } from './programs';

const execute = promisify(execFile);
/** First host id of the container's id range. Any unused range works. */
const HOST_ID = 165_000;
const GUEST_ID = 1000;
/** runc also needs a mapping for root. */
const ID_COUNT = GUEST_ID + 1;

/** A root directory with only mount points and the links of a merged /usr. */
async function makeRoot(path: string): Promise<void> {
  for (const folder of ['usr', 'proc', 'dev', 'tmp', 'sys', 'etc'])
    await mkdir(join(path, folder), { recursive: true });
  for (const name of ['bin', 'lib', 'lib64', 'sbin']) await symlink(`usr/${name}`, join(path, name));
}

/** The OCI configuration: the same namespaces, read-only /usr and no capabilities, as in Argyle's leaves. */
function ociConfig(): object {
  const mapping = [{ containerID: 0, hostID: HOST_ID, size: ID_COUNT }];
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid: GUEST_ID, gid: GUEST_ID },
      args: PYTHON_PASS,
      env: ['PATH=/usr/bin:/bin'],
      cwd: '/',
      noNewPrivileges: true,
    },
    root: { path: 'rootfs', readonly: true },
    hostname: 'sandbox',
    mounts: [
      { destination: '/usr', type: 'bind', source: '/usr', options: ['rbind', 'ro'] },
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] },
      { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', 'mode=1777', 'size=64m'] },
    ],
    linux: {
      namespaces: ['pid', 'ipc', 'uts', 'mount', 'user'].map((type) => ({ type })),
      uidMappings: mapping,
      gidMappings: mapping,
      resources: { memory: { limit: 50 * 2 ** 20 }, pids: { limit: 10 } },
    },
  };
}

export class Runc extends ProgramSubject {
  readonly name = 'runc run';
  readonly about = 'runc: the same namespaces, memory and pids limits, /usr read-only, python3 -c pass';
  private bundle: string | undefined;

  protected async prepare(): Promise<string[]> {
    const program = await findProgram('runc');
    if (process.getuid?.() !== 0) throw new SkipSubject('needs root');
    this.bundle = await mkdtemp(join(tmpdir(), 'argyle-bench-runc-'));
    // The mapped user must be able to reach the root directory.
    await execute('chmod', ['0711', this.bundle]);
    await makeRoot(join(this.bundle, 'rootfs'));
    await writeFile(join(this.bundle, 'config.json'), JSON.stringify(ociConfig()));
    const state = join(this.bundle, 'state');
    return [program, '--root', state, 'run', '--bundle', this.bundle, `argyle-bench-${process.pid}`];
  }

  override async teardown(): Promise<void> {
    await super.teardown();
    if (this.bundle !== undefined) await rm(this.bundle, { recursive: true, force: true });
  }
}

export class Docker extends ProgramSubject {
  readonly name = 'docker run';
  readonly about = 'docker run --rm: an image of mount points, /usr read-only, python3 -c pass';
  /** The engine works for 250 ms after a container's end, as the kernel's count of context switches shows. */
  readonly cleanupMs = 250;
  private readonly image = `argyle-bench:${process.pid}`;
  private readonly engine = new DockerEngine();
  private imported = false;

  protected async prepare(): Promise<string[]> {
    await this.engine.start();
    const folder = await mkdtemp(join(tmpdir(), 'argyle-bench-docker-'));
    try {
      await makeRoot(join(folder, 'root'));
      await this.engine.importImage(join(folder, 'root'), this.image);
      this.imported = true;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    const limits = ['--memory', '50m', '--pids-limit', '10', '--network', 'none', '--cap-drop', 'ALL'];
    const options = ['--rm', ...this.engine.runFlags, ...limits, '-v', '/usr:/usr:ro'];
    return this.engine.command('run', ...options, this.image, ...PYTHON_PASS);
  }

  override async teardown(): Promise<void> {
    await super.teardown();
    try {
      if (this.imported) await this.engine.run('rmi', '--force', this.image);
    } finally {
      await this.engine.stop();
    }
  }
}
