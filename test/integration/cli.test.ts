/**
 * `ol worker` as users, scripts and the original's boss call it. The built program runs in its own process, with a real
 * worker behind it. A start needs root, because the helper is only built here and not installed setuid.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startOf, waitForEnd } from '../../src/cli/worker/process/pidfile';
import { ask as get, OlDir, PROGRAM as program, ROOT as root } from '../support/ol';
import { freePort } from '../support/ports';
import { describePrivileged } from '../support/privileged';

jest.setTimeout(120_000);

let here: OlDir;
let dir: string;
const ol: OlDir['ol'] = (...args) => here.ol(...args);

beforeEach(() => {
  here = new OlDir();
  dir = here.dir;
});

afterEach(() => here.dispose());

const read = (...path: string[]) => here.read(...path);
const json = (...path: string[]) => here.json(...path);
const configure = (changes: Record<string, unknown>) => {
  here.configure(changes);
};

describe('ol', () => {
  test('prints help and exits with 0; exits with 3 for an unknown command', async () => {
    expect(await ol([])).toMatchObject({ code: 0, err: '' });
    expect((await ol(['-h'])).out).toContain('worker');
    expect((await ol(['worker', 'up', '--help'])).out).toContain('--detach, -d');
    expect(await ol(['nope'])).toMatchObject({ code: 3, out: '' });
    expect(await ol(['worker', 'nope'])).toMatchObject({ code: 3, out: '' });
    expect(await ol(['worker', 'up', '-x'])).toMatchObject({ code: 1, out: '' });
  });

  test('runs through a symbolic link, and as a copy with ARGYLE_HOME', async () => {
    symlinkSync(program, join(dir, 'ol'));
    expect(await ol(['worker'], { bin: './ol' })).toMatchObject({ code: 0 });
    mkdirSync(join(dir, 'copy'));
    copyFileSync(program, join(dir, 'copy/ol'));
    expect(await ol(['worker'], { bin: './copy/ol', env: { ARGYLE_HOME: root } })).toMatchObject({ code: 0 });
  });

  test('boss runs the executable beside it with all arguments, and returns its exit code', async () => {
    expect(await ol(['boss', 'up'], { env: { PATH: '/usr/bin' } })).toMatchObject({ code: 1 });
    const help = await ol(['boss', '-h'], { env: { PATH: '/usr/bin' } });
    expect(help).toMatchObject({ code: 0, out: expect.stringContaining('--detach, -d') as string });
    writeFileSync(join(dir, 'ol-boss'), '#!/bin/sh\necho "$@"\nexit 7\n', { mode: 0o755 });
    expect(await ol(['boss', 'up', '-d', '--x=1'])).toMatchObject({ code: 7, out: 'boss up -d --x=1\n' });
  });
});

describe('ol worker init', () => {
  test('makes the files of a worker directory', async () => {
    expect(await ol(['worker', 'init', '-p', 'w'])).toMatchObject({ code: 0, err: '' });
    expect(readdirSync(join(dir, 'w'))).toEqual(
      expect.arrayContaining(['config.json', 'default-zygotes-40.json', 'lambda', 'ol.init', 'registry', 'worker']),
    );
    expect(json('w/config.json')).toMatchObject({
      worker_dir: join(dir, 'w/worker'),
      worker_port: '5000',
      registry: `file://${join(dir, 'w/registry')}`,
      Pkgs_dir: join(dir, 'w/lambda/packages'),
      sock_base_path: join(dir, 'w/lambda'),
    });
    for (const name of ['handler', 'host', 'packages', 'usr', 'tmp', 'etc/resolv.conf']) {
      expect(existsSync(join(dir, 'w/lambda', name))).toBe(true);
    }
    expect(await ol(['worker', 'check-config', '-p', 'w'])).toMatchObject({ code: 0, err: '' });
  });

  test('the default directory is default-ol', async () => {
    expect(await ol(['worker', 'init'])).toMatchObject({ code: 0 });
    expect(existsSync(join(dir, 'default-ol/ol.init'))).toBe(true);
  });

  test("deletes everything except lambda/ in a worker's directory, including the registry", async () => {
    await ol(['worker', 'init', '-p', 'w']);
    for (const path of ['w/registry/a.tar.gz', 'w/junk', 'w/lambda/packages/kept', 'w/lambda/mine']) {
      writeFileSync(join(dir, path), '');
    }
    expect(await ol(['worker', 'init', '-p', 'w'])).toMatchObject({ code: 0 });
    expect(readdirSync(join(dir, 'w/registry'))).toEqual([]);
    expect(existsSync(join(dir, 'w/junk'))).toBe(false);
    expect([existsSync(join(dir, 'w/lambda/packages/kept')), existsSync(join(dir, 'w/lambda/mine'))]).toEqual([
      true,
      true,
    ]);
    expect(await ol(['worker', 'init', '-p', 'w', '-b'])).toMatchObject({ code: 0 });
    expect(existsSync(join(dir, 'w/lambda/mine'))).toBe(false);
  });

  test('refuses a directory without a worker, and changes nothing in it', async () => {
    mkdirSync(join(dir, 'w'));
    writeFileSync(join(dir, 'w/file'), '');
    const { code, err } = await ol(['worker', 'init', '-p', 'w']);
    expect(code).toBe(1);
    expect(err).toContain('ol.init');
    expect(readdirSync(join(dir, 'w'))).toEqual(['file']);
  });

  test('uses template.json', async () => {
    writeFileSync(
      join(dir, 'template.json'),
      JSON.stringify({ worker_port: '6001', sandbox: 'sock', server_mode: 'lambda' }),
    );
    mkdirSync(join(dir, 'sub'));
    expect(await ol(['worker', 'init', '-p', 'w'], { cwd: join(dir, 'sub') })).toMatchObject({ code: 0 });
    expect(json('sub/w/config.json')).toMatchObject({ worker_port: '6001', limits: { procs: 10, mem_mb: 50 } });
  });

  test('makes a base from a tar file', async () => {
    mkdirSync(join(dir, 'rootfs/usr/bin'), { recursive: true });
    symlinkSync('/usr/bin', join(dir, 'rootfs/bin'));
    await promisify(execFile)('tar', ['-C', join(dir, 'rootfs'), '-czf', join(dir, 'image.tar.gz'), '.']);
    expect(await ol(['worker', 'init', '-p', 'w', '-i', 'image.tar.gz'])).toMatchObject({ code: 0 });
    expect(existsSync(join(dir, 'w/lambda/usr/bin'))).toBe(true);
    expect(existsSync(join(dir, 'w/lambda/packages'))).toBe(true);
  });

  test('an unknown image is an error that names it', async () => {
    const { code, err } = await ol(['worker', 'init', '-p', 'w', '-i', 'no-such-image:1']);
    expect(code).toBe(1);
    expect(err).toContain('no-such-image:1');
    expect(await ol(['worker', 'init', '-p', 'w'])).toMatchObject({ code: 0 });
  });
});

describe('ol worker check-config', () => {
  test('names field and value of every error', async () => {
    await ol(['worker', 'init', '-p', 'w']);
    configure({ worker_dir: 'rel', mem_pool_mb: 10, foo: 1 });
    const { code, err } = await ol(['worker', 'check-config', '-p', 'w']);
    expect(code).toBe(1);
    expect(err).toBe(
      'warning: unknown key "foo" ignored\n' +
        'error: Worker_dir cannot be relative\n  worker_dir = "rel"\n' +
        'error: memPoolMb must be at least 500 (current=10, user_mem_mb=50, installer_mem_mb=250); ' +
        'raise mem_pool_mb, or lower limits.mem_mb and installer_limits.mem_mb: the pool must hold two\n  mem_pool_mb = 10\n',
    );
    configure({ worker_port: 5000 });
    expect((await ol(['worker', 'check-config', '-p', 'w'])).err).toContain(
      'json: cannot unmarshal number 5000 into field worker_port of type string',
    );
  });

  test('names a broken or missing file', async () => {
    writeFileSync(join(dir, 'x.json'), '{');
    expect((await ol(['worker', 'check-config', 'x.json'])).err).toContain(`could not read ${join(dir, 'x.json')}`);
    expect(await ol(['worker', 'check-config', '-p', 'none'])).toMatchObject({ code: 1 });
  });
});

describe('without a worker', () => {
  test('down and status of a directory that does not exist are errors', async () => {
    for (const command of ['down', 'status', 'force-cleanup']) {
      const { code, err } = await ol(['worker', command, '-p', 'none']);
      expect([command, code]).toEqual([command, 1]);
      expect(err).toContain('none does not exist');
    }
  });

  test('down and force-cleanup of a stopped worker exit with 0, status with 1', async () => {
    await ol(['worker', 'init', '-p', 'w']);
    configure({ worker_port: String(await freePort()) });
    expect(await ol(['worker', 'down', '-p', 'w'])).toMatchObject({ code: 0 });
    expect(await ol(['worker', 'force-cleanup', '-p', 'w'])).toMatchObject({ code: 0 });
    expect(await ol(['worker', 'status', '-p', 'w'])).toMatchObject({ code: 1 });
  });

  test('a directory without its worker_dir is an error', async () => {
    await ol(['worker', 'init', '-p', 'w']);
    rmSync(join(dir, 'w/worker'), { recursive: true });
    expect(await ol(['worker', 'down', '-p', 'w'])).toMatchObject({ code: 1 });
  });

  test('a stale pid file is removed, and the process that now has this pid lives', async () => {
    await ol(['worker', 'init', '-p', 'w']);
    const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
    try {
      await once(stranger, 'spawn');
      writeFileSync(join(dir, 'w/worker/worker.pid'), String(stranger.pid));
      mkdirSync(join(dir, 'w/worker/scratch/1-x'), { recursive: true });
      expect(await ol(['worker', 'down', '-p', 'w'])).toMatchObject({ code: 0 });
      expect(startOf(stranger.pid ?? 0)).toBeDefined();
      expect(existsSync(join(dir, 'w/worker/worker.pid'))).toBe(false);
      expect(existsSync(join(dir, 'w/worker/scratch'))).toBe(false);
    } finally {
      stranger.kill('SIGKILL');
    }
  });

  test('a wrong -o fails up before anything starts', async () => {
    await ol(['worker', 'init', '-p', 'w']);
    expect(await ol(['worker', 'up', '-p', 'w', '-o', 'nope=1'])).toMatchObject({
      code: 1,
      err: expect.stringContaining("invalid option: 'nope'") as string,
    });
    expect((await ol(['worker', 'up', '-p', 'w', '-o', 'nope'])).err).toContain("Could not parse key=val: 'nope'");
    expect((await ol(['worker', 'up', '-p', 'w', '-o', 'mem_pool_mb=1'])).err).toContain('memPoolMb must be at least');
  });
});

describePrivileged('with a worker', () => {
  let port: string;
  let foreground: ChildProcess | undefined;

  beforeEach(async () => {
    port = String(await freePort());
  });

  afterEach(() => {
    foreground?.kill('SIGKILL');
    foreground = undefined;
  });

  const up = (...more: string[]) => ol(['worker', 'up', '-p', 'w', '-d', '-o', `worker_port=${port}`, ...more]);
  const status = () => get(`http://127.0.0.1:${port}/status`);
  const pid = () => Number(read('w/worker/worker.pid'));

  test("up -d initialises, prints the contract's lines, and returns when requests are answered", async () => {
    const { code, out } = await up();
    expect(code).toBe(0);
    const log = join(dir, 'w/worker.out');
    const ready = `\tPID: ${pid()}\n\tPort: ${port}\n\tLog File: ${log}\nReady!\n`;
    expect(out).toContain(`Starting worker in ${join(dir, 'w')} and waiting until it's ready.\n${ready}`);
    expect(await status()).toEqual({ status: 200, body: 'ready\n' });
    expect(read('w/worker/worker.pid')).toMatch(/^\d+$/);
    expect(statSync(join(dir, 'w/worker/ol.sock')).mode & 0o777).toBe(0o600);
    expect(json('w/config.json.overrides')).toMatchObject({ worker_port: port });
    expect(json('w/config.json')).toMatchObject({ worker_port: '5000' });
  });

  test('a background worker gets the same V8 options as the program itself', async () => {
    const [, line] = /^#!\S+ -S node (.+)$/m.exec(readFileSync(program, 'utf8')) ?? [];
    await up();
    const [, ...args] = readFileSync(`/proc/${pid()}/cmdline`, 'utf8').split('\0');
    expect(args.join(' ')).toContain(`${line} ${program} worker up -p ${join(dir, 'w')} -o worker_port=${port}`);
  });

  test('status calls the port of config.json, and prints the answer', async () => {
    await ol(['worker', 'init', '-p', 'w']);
    configure({ worker_port: port });
    await up();
    const line = `  http://localhost:${port}/status => ready\n [200 OK]\n`;
    expect(await ol(['worker', 'status', '-p', 'w'])).toEqual({ code: 0, out: line, err: '' });
  });

  test('down leaves a clean directory with stats.json, and no process', async () => {
    await up();
    const [process, start] = [pid(), startOf(pid())];
    expect(await ol(['worker', 'down', '-p', 'w'])).toMatchObject({ code: 0 });
    expect(startOf(process)).not.toBe(start);
    expect(existsSync(join(dir, 'w/worker/worker.pid'))).toBe(false);
    expect(existsSync(join(dir, 'w/worker/ol.sock'))).toBe(false);
    expect(() => json('w/worker/stats.json')).not.toThrow();
    await expect(status()).rejects.toThrow(/ECONNREFUSED/);
  });

  test('up stops a running worker, empties worker.out, and starts another', async () => {
    await up();
    const first = pid();
    const start = startOf(first);
    writeFileSync(join(dir, 'w/worker.out'), 'MARK', { flag: 'a' });
    expect(await up()).toMatchObject({ code: 0 });
    expect(pid()).not.toBe(first);
    // The worker passes its port on, and ends once its own calls have ended (docs/adr/0013).
    expect(await waitForEnd(first, start, 20_000)).toBe(true);
    expect(read('w/worker.out')).not.toContain('MARK');
    expect(await status()).toMatchObject({ status: 200 });
  });

  test('down, force-cleanup and up remove everything of a killed worker', async () => {
    await up();
    for (const command of [['down'], ['force-cleanup']]) {
      const dead = pid();
      process.kill(dead, 'SIGKILL');
      await waitForEnd(dead, startOf(dead), 5000);
      expect(await ol(['worker', ...command, '-p', 'w'])).toMatchObject({ code: 0 });
      expect(existsSync(join(dir, 'w/worker/worker.pid'))).toBe(false);
      // Logs of functions outlive the worker.
      const kept = ['cgroup.name', 'logs'];
      expect(readdirSync(join(dir, 'w/worker')).filter((name) => !kept.includes(name))).toEqual([]);
      expect(await up()).toMatchObject({ code: 0 });
    }
    const dead = pid();
    process.kill(dead, 'SIGKILL');
    await waitForEnd(dead, startOf(dead), 5000);
    expect(await up()).toMatchObject({ code: 0 });
    expect(await status()).toMatchObject({ status: 200 });
  });

  test('two workers whose directories have equal names run concurrently', async () => {
    await up();
    mkdirSync(join(dir, 'other'));
    const second = String(await freePort());
    const other = (...args: string[]) => ol(['worker', ...args], { cwd: join(dir, 'other') });
    expect(await other('up', '-p', 'w', '-d', '-o', `worker_port=${second}`)).toMatchObject({ code: 0 });
    expect(await status()).toMatchObject({ status: 200 });
    expect(await get(`http://127.0.0.1:${second}/status`)).toMatchObject({ status: 200 });
    expect(await other('down', '-p', 'w')).toMatchObject({ code: 0 });
    expect(await status()).toMatchObject({ status: 200 });
  });

  test("a port in use is reported before Ready!, with the contract's exit code and message", async () => {
    const holder = createServer().listen(Number(port), 'localhost');
    await once(holder, 'listening');
    const { code, out, err } = await up();
    holder.close();
    expect(code).toBe(1);
    expect(out).not.toContain('Ready!');
    expect(err).toMatch(/^worker process \d+ does not appear to be running; check worker\.out\n/);
    expect(read('w/worker.out')).toContain('address is in use');
    expect(existsSync(join(dir, 'w/worker/worker.pid'))).toBe(false);
  });

  test.each(['SIGINT', 'SIGTERM'] as const)('a worker in the foreground ends with 0 at %s', async (signal) => {
    await ol(['worker', 'init', '-p', 'w']);
    const child = spawn(program, ['worker', 'up', '-p', 'w', '-o', `worker_port=${port}`], {
      cwd: dir,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    foreground = child;
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (out += chunk));
    while (!out.includes('worker is ready')) await once(child.stdout, 'data');
    expect(await status()).toMatchObject({ status: 200 });
    child.kill(signal);
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(existsSync(join(dir, 'w/worker/worker.pid'))).toBe(false);
  });

  test('the cgroup is named after the directory', async () => {
    await up();
    expect(read('w/worker/cgroup.name')).toBe('w-sandboxes');
  });
});
