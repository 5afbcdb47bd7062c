/** Runs the attacks: in a fresh leaf, in a forked leaf, in a zygote through its package, and outside as controls. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { Flag, Network, Role } from '../../../src/helper/protocol';
import { CALLER, Fixture } from '../../support/helper/fixture';
import { Keeper } from '../../support/helper/keeper';
import { LIMITS, RawHelper } from '../../support/helper/raw';

export interface Result {
  ok: boolean;
  detail: string;
}
export type Results = Record<string, Result>;
export type Position = 'fresh leaf' | 'forked leaf' | 'zygote';
export interface AttackInfo {
  control: string;
  zygote: boolean;
}

const PYTHON = '/usr/bin/python3';
/** Time limit for all attacks of one position, in ms. They take 3 s on an idle machine. */
const PATIENCE_MS = 200_000;
const HANDLER =
  'import attacks\nattacks.load()\ndef f(event): return attacks.run_all(event["context"], event["names"])\n';
const OTHER = 'import os\nopen("/tmp/secret", "w").write("scratch secret")\ndef f(event): return os.getpid()\n';
const EVIL = `import json, os, attacks
attacks.load()
task = json.load(open(f"{os.path.dirname(__file__)}/task.json"))
for name in task["names"]:
    print("RESULT " + json.dumps([name, attacks.run(name, task["context"])]), flush=True)
`;

/** The registry's description of each attack. */
export function catalogue(): Record<string, AttackInfo> {
  const script =
    'import attacks, json; print(json.dumps({n: {"control": a.control, "zygote": a.zygote} for n, a in attacks.load().items()}))';
  return JSON.parse(execFileSync(PYTHON, ['-c', script], { cwd: __dirname, encoding: 'utf8' })) as Record<
    string,
    AttackInfo
  >;
}

export class EscapeRig {
  readonly fixture = new Fixture();
  private readonly services: ChildProcess;
  private readonly keeper = new Keeper();
  private readonly helpers: RawHelper[] = [];
  private context: Record<string, string | number> = {};
  private lastSlot = 100;

  constructor() {
    const { fixture } = this;
    fixture.write({
      'worker/code/1/f.py': HANDLER,
      'worker/code/2/f.py': OTHER,
      'worker/code/2/secret.txt': 'code secret',
      'packages/.store/evil==1/files/evil/__init__.py': EVIL,
      secret: 'outside secret',
    });
    for (const place of ['worker/code/1', 'packages/.store/evil==1/files'])
      cpSync(join(__dirname, 'attacks'), join(fixture.dir, place, 'attacks'), { recursive: true });
    mkdirSync(join(fixture.dir, 'packages/.store/suid/files'), { recursive: true });
    cpSync('/usr/bin/id', join(fixture.dir, 'packages/.store/suid/files/id'));
    chmodSync(join(fixture.dir, 'packages/.store/suid/files/id'), 0o4755);
    // A file for the control. No other user of the host can reach the packages.
    cpSync('/usr/bin/id', join(fixture.dir, 'suid-id'));
    chmodSync(join(fixture.dir, 'suid-id'), 0o4755);
    this.services = spawn(PYTHON, [join(__dirname, 'services.py')], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.services.stdin?.on('error', () => undefined);
    this.keeper.directory(fixture.dir);
  }

  /** Starts the services, and the other tenant in a slot of `helper`. */
  async begin(): Promise<void> {
    const place = await new Promise<string>((resolve) =>
      this.services.stdout?.once('data', (text: Buffer) => resolve(text.toString())),
    );
    const helper = await this.helper();
    await helper.slot(2);
    const answer = helper.invoke(2, 0);
    const other = await helper.call('SPAWN', { slot: 2, role: Role.LEAF, name: ['2'] });
    await answer;
    const address = Object.values(networkInterfaces())
      .flat()
      .find((one) => one !== undefined && one.family === 'IPv4' && !one.internal);
    this.context = {
      ...(JSON.parse(place) as Record<string, string | number>),
      host_address: address?.address ?? '127.0.0.1',
      other_pid: other.value[0] ?? 0,
      other_name: '2',
      other_code: join(this.fixture.dir, 'worker/code/2/secret.txt'),
      other_scratch: `/proc/${other.value[0]}/root/tmp/secret`,
      outside_secret: join(this.fixture.dir, 'secret'),
      cgroup_file: `${this.fixture.cgroups()[0] ?? ''}/cgroup.procs`,
      processes: LIMITS[1] ?? 0,
      memory_mib: (LIMITS[0] ?? 0) / 2 ** 20,
      scratch_mib: (LIMITS[4] ?? 0) / 2 ** 20,
    };
  }

  private inside(slot: number): Record<string, string | number> {
    return {
      ...this.context,
      handler: '/handler', tmp: '/tmp',
      link_dir: '/tmp', packages: '/packages', runtime: '/runtime', usr: '/usr', etc: '/etc', dev: '/dev',
      host: '/host', shm: '/dev/shm', own_file: '/handler/f.py', remount: '/packages', own_socket: `/${slot}.sock`,
      setuid_id: '/runtime/store/suid/files/id',
    }; // prettier-ignore
  }

  /** The same places outside of a sandbox: directories that root or an ordinary user may use. */
  private outside(dir: string): Record<string, string | number> {
    const handler = join(this.fixture.dir, 'worker/code/1');
    const own: Record<string, string> = {};
    for (const name of ['tmp', 'packages', 'runtime', 'usr', 'etc', 'dev', 'host', 'shm', 'jail']) {
      own[name] = join(dir, name);
      mkdirSync(own[name]);
    }
    return {
      ...this.context, ...own, handler, own_file: join(handler, 'f.py'),
      link_dir: this.fixture.dir, remount: join(dir, 'tmp/mount'), own_socket: '/1.sock',
      setuid_id: join(this.fixture.dir, 'suid-id'), host_address: this.context['host_address'] ?? '',
    }; // prettier-ignore
  }

  async helper(flags: number = Flag.HOST_USR, mode: number = Network.OUTBOUND): Promise<RawHelper> {
    const fixture =
      this.helpers.length === 0
        ? this.fixture
        : (Object.create(this.fixture, {
            cgroupName: { value: this.fixture.cgroupName.replace('-sandboxes', `n${this.helpers.length}-sandboxes`) },
          }) as Fixture);
    this.keeper.cgroup(fixture.cgroupName);
    const helper = new RawHelper(fixture);
    this.helpers.push(helper);
    await helper.greet(flags, mode);
    return helper;
  }

  async leaf(helper: RawHelper, names: readonly string[], isForked = false): Promise<Results> {
    const slot = ++this.lastSlot;
    const zygote = isForked ? ++this.lastSlot : 0;
    if (isForked) await helper.zygote(zygote);
    await helper.slot(slot);
    const answer = helper.invoke(slot, { names, context: this.inside(slot) }, PATIENCE_MS);
    const fields = { slot, role: Role.LEAF, name: ['1'] };
    const started = await (isForked
      ? helper.call('FORK', { ...fields, source: zygote })
      : helper.call('SPAWN', fields));
    const text = started.code === 0 ? await answer : started.detail;
    for (const one of [slot, zygote]) if (one > 0) await helper.call('DESTROY', { slot: one });
    if (text === '' && names.length === 1) return { [names[0] ?? '']: { ok: false, detail: 'the sandbox died' } };
    return JSON.parse(text) as Results;
  }

  async zygote(helper: RawHelper, names: readonly string[]): Promise<Results> {
    const slot = ++this.lastSlot;
    const task = {
      names,
      context: {
        ...this.inside(slot),
        handler: '/runtime/store/evil==1/files',
        own_file: '/runtime/store/evil==1/files/evil/__init__.py',
      },
    };
    writeFileSync(join(this.fixture.dir, 'packages/.store/evil==1/files/evil/task.json'), JSON.stringify(task));
    await helper.slot(slot);
    const imports = [{ spec: 'evil==1', modules: ['evil'] }];
    const boot = { role: 'zygote', sys_path: ['/runtime/store/evil==1/files'], imports };
    const report = helper.exchange(slot, boot, '', '\n', PATIENCE_MS);
    await helper.call('SPAWN', { slot, role: Role.ZYGOTE });
    await report;
    const results: Results = {};
    for (const line of helper
      .log(slot)
      .split('\n')
      .filter((text) => text.startsWith('RESULT '))) {
      const [name, result] = JSON.parse(line.slice(7)) as [string, Result];
      results[name] = result;
    }
    if (names.length === 1) results[names[0] ?? ''] ??= { ok: false, detail: 'the sandbox died' };
    await helper.call('DESTROY', { slot });
    return results;
  }

  /** The secret in the other tenant's scratch. Throws when the secret is gone. */
  otherSecret(): string {
    return readFileSync(String(this.context['other_scratch']), 'utf8');
  }

  /** The host uid and gid of the other tenant. */
  private otherId(): number {
    const status = readFileSync(`/proc/${String(this.context['other_pid'])}/status`, 'utf8');
    return Number(/^Uid:\t(\d+)/m.exec(status)?.[1]);
  }

  /** Runs an attack without protection. It must work there. */
  without(name: string, control: string): Result {
    const dir = mkdtempSync(join(this.fixture.dir, 'outside-'));
    chmodSync(dir, 0o755);
    const as = (id: number): string[] => ['setpriv', `--reuid=${id}`, `--regid=${id}`, '--clear-groups'];
    const wrapper =
      control === 'outside'
        ? ['unshare', '-m', '-u', '-i', '--propagation', 'private']
        : control === 'user'
          ? as(CALLER)
          : control === 'neighbour'
            ? as(this.otherId())
            : ['env'];
    const [command, ...args] = [
      ...wrapper,
      PYTHON,
      join(__dirname, 'run_one.py'),
      name,
      JSON.stringify(this.outside(dir)),
      control,
    ];
    const text = execFileSync(command, args, { encoding: 'utf8', timeout: 20_000, cwd: dir });
    rmSync(dir, { recursive: true, force: true });
    return JSON.parse(text) as Result;
  }

  async end(): Promise<void> {
    this.services.stdin?.end();
    for (const helper of this.helpers) await helper.close();
    this.fixture.remove();
    await this.keeper.end();
  }
}
