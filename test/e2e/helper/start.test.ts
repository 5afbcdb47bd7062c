/** The setuid helper under hostile callers, until its first message. The exit code is that of the stage. */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Role, Stage } from '../../../src/helper/protocol';
import { Canary } from '../../support/helper/canary';
import { CALLER, CALLERS_GROUP, Fixture, SANDBOX_IDS } from '../../support/helper/fixture';
import { RawHelper, type Ending, type RawOptions } from '../../support/helper/raw';
import { installSetuid } from '../../support/helper/setuid';
import { describePrivileged } from '../../support/privileged';

jest.setTimeout(40_000);

const as = (uid: number, gid: number, ...more: string[]): string[] => [
  'setpriv',
  `--reuid=${uid}`,
  `--regid=${gid}`,
  ...(more.length > 0 ? more : ['--clear-groups']),
];
const MEMBER = as(CALLER, CALLERS_GROUP);
const bash = (script: string): string[] => ['/bin/bash', '-c', `${script}; exec "$@"`, 'bash'];
const python = (script: string): string[] => [
  '/usr/bin/python3',
  '-c',
  `import os, resource, signal, socket, sys\n${script}\nos.execv(sys.argv[1], sys.argv[1:])`,
];
const limit = (option: string): string[] => ['/usr/bin/prlimit', option];

describePrivileged('starting the setuid helper', () => {
  let fixture: Fixture;
  let canary: Canary;
  let setuid: { binary: string; args: string[] };

  beforeEach(() => {
    fixture = new Fixture({ owner: CALLER, confPath: installSetuid.conf });
    fixture.write({ 'worker/code/1/f.py': 'import os\ndef f(e): return [e, dict(os.environ)]\n' });
    canary = new Canary();
    setuid = installSetuid(fixture);
  });

  afterEach(() => {
    canary.verify(fixture);
  });

  /** Starts a helper that is expected to refuse by itself. */
  async function refused(options: RawOptions): Promise<Ending> {
    const helper = new RawHelper(fixture, { ...setuid, ...options });
    const timer = setTimeout(() => helper.child.kill('SIGKILL'), 5000);
    const ending = await helper.ended;
    clearTimeout(timer);
    await helper.close();
    return ending;
  }

  /** Sends HELLO, runs a leaf once and closes the session. */
  async function serves(options: RawOptions): Promise<string> {
    const helper = new RawHelper(fixture, { ...setuid, wrapper: MEMBER, ...options });
    await helper.greet();
    await helper.slot(1);
    const answer = helper.invoke(1, 'hi');
    expect(await helper.call('SPAWN', { slot: 1, role: Role.LEAF, name: ['1'] })).toMatchObject({ code: 0 });
    const text = await answer;
    expect((await helper.call('DESTROY', { slot: 1 })).code).toBe(0);
    expect(await helper.close()).toMatchObject({ code: 0 });
    return text;
  }

  describe('callers', () => {
    it.each([
      ['a stranger, where the mode lets him in', as(CALLER, 60001), 0o4755, Stage.PRIV],
      [
        'a user of sandboxes, though a member',
        as(SANDBOX_IDS.first + SANDBOX_IDS.count - 1, CALLERS_GROUP),
        0o4755,
        Stage.PRIV,
      ],
      ['a member, but the setuid bit is missing', MEMBER, 0o755, Stage.PRIV],
      // env starts the helper, because setpriv itself still has its capabilities when it executes a program.
      ['a stranger, against mode 4750', [...as(CALLER, 60001), '/usr/bin/env'], 0o4750, 126],
    ])('%s', async (_name, wrapper, mode, code) => {
      chmodSync(setuid.binary, mode);
      const ending = await refused({ wrapper });
      expect(ending.code).toBe(code);
    });

    it("a caller whose supplementary groups contain the helper's group is served", async () => {
      expect(await serves({ wrapper: as(CALLER, 60001, `--groups=${CALLERS_GROUP}`) })).toContain('"hi"');
    });

    it.each([
      [['--config', '/etc/passwd'], Stage.PRIV],
      [['--config'], Stage.USAGE],
      [['x'], Stage.USAGE],
      [['--config', 'a', 'b'], Stage.USAGE],
    ])('the arguments %j are refused', async (args, code) => {
      expect((await refused({ wrapper: MEMBER, args })).code).toBe(code);
    });

    it('the caller cannot signal, trace or read the helper', async () => {
      const helper = new RawHelper(fixture, { ...setuid, wrapper: MEMBER });
      await helper.greet();
      const pid = String(helper.child.pid);
      for (const command of [
        `kill -TERM ${pid}`,
        `kill -KILL ${pid}`,
        `cat /proc/${pid}/environ`,
        `ls /proc/${pid}/fd`,
      ])
        expect(() => execFileSync('setpriv', [...MEMBER.slice(1), 'sh', '-c', command], { stdio: 'ignore' })).toThrow();
      expect((await helper.diag()).code).toBe(0);
      await helper.close();
    });
  });

  describe('channels', () => {
    it.each([
      ['control closed', bash('exec 3>&-')],
      ['control a file', bash('exec 3</etc/passwd')],
      ['control a pipe', bash('exec 3< <(sleep 0)')],
      ['control an inet socket', python('s=socket.socket(); os.dup2(s.fileno(), 3)')],
      ['control a stream socket', python('a,b=socket.socketpair(); os.dup2(a.fileno(), 3)')],
      ['events closed', bash('exec 4>&-')],
      ['events a file', bash('exec 4>/dev/null')],
      ['events the read end', python('r,w=os.pipe(); os.dup2(r, 4)')],
      ['events a socket', python('a,b=socket.socketpair(); os.dup2(a.fileno(), 4)')],
      ['everything closed', bash('exec 0<&- 1>&- 2>&- 3>&- 4>&-')],
    ])('%s', async (_name, wrapper) => {
      expect((await refused({ wrapper: [...MEMBER, ...wrapper] })).code).toBe(Stage.USAGE);
    });

    it.each([['<&-'], ['<&- >&-'], ['2>&-'], ['<&- >&- 2>&-']])('stdio %s is opened as /dev/null', async (closed) => {
      expect(await serves({ wrapper: [...MEMBER, ...bash(`exec ${closed}`)] })).toContain('"hi"');
    });

    it('a full table of stray descriptors is closed', async () => {
      const helper = new RawHelper(fixture, { ...setuid, wrapper: MEMBER });
      await helper.greet();
      const plain = (await helper.diag()).value[1];
      await helper.close();
      const script = 'for i in {10..900}; do eval "exec $i</etc/passwd"; done';
      const crowded = new RawHelper(fixture, { ...setuid, wrapper: [...MEMBER, ...bash(script)] });
      await crowded.greet();
      expect((await crowded.diag()).value[1]).toBe(plain);
      await crowded.close();
    });
  });

  describe('limits, signals and environment', () => {
    it.each([
      ['--nofile=8:8', [Stage.USAGE, Stage.PRIV, 1, 127]],
      ['--nofile=64:64', [Stage.PRIV]],
      ['--nofile=255:255', [Stage.PRIV]],
      ['--as=4000000:4000000', [null, 1, 127]],
      ['--as=1:1', [null, 1, 126, 127]],
      ['--stack=4096:4096', [null, 1, 126, 127]],
    ])('%s ends the helper at a stage, or in the kernel', async (option, codes) => {
      const ending = await refused({ wrapper: [...MEMBER, ...limit(option)] });
      expect(codes).toContain(ending.code);
    });

    it.each([
      ['--nofile=64:4096'],
      ['--nofile=256:256'],
      ['--fsize=0:0'],
      ['--core=unlimited'],
      ['--nproc=0:0'],
      ['--memlock=0:0'],
      ['--sigpending=0:0'],
      ['--msgqueue=0:0'],
      ['--locks=0:0'],
      ['--rss=0:0'],
      ['--data=20000000:20000000'],
      ['--cpu=1:60'],
    ])('%s has no effect', async (option) => {
      expect(await serves({ wrapper: [...MEMBER, ...limit(option)] })).toContain('"hi"');
    });

    it('all signals blocked or ignored have no effect', async () => {
      const script = [
        'for n in range(1, signal.NSIG):',
        '  try: signal.signal(n, signal.SIG_IGN)',
        '  except (OSError, ValueError): pass',
        'signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))',
      ].join('\n');
      expect(await serves({ wrapper: [...MEMBER, ...python(script)] })).toContain('"hi"');
    });

    it('a hostile environment is ignored and not passed on', async () => {
      const marker = join(fixture.dir, 'worker/loaded');
      const source = join(fixture.dir, 'evil.c');
      writeFileSync(
        source,
        `#include <fcntl.h>\n__attribute__((constructor)) void f(void) { open("${marker}", O_CREAT, 0600); }\n`,
      );
      execFileSync('cc', ['-shared', '-fPIC', '-o', join(fixture.dir, 'evil.so'), source]);
      const evil = join(fixture.dir, 'evil.so');
      const env = {
        LD_PRELOAD: evil, LD_AUDIT: evil, LD_LIBRARY_PATH: fixture.dir, GCONV_PATH: fixture.dir, LOCPATH: fixture.dir,
        NLSPATH: fixture.dir, MALLOC_CHECK_: '7', MALLOC_PERTURB_: '1', GLIBC_TUNABLES: 'glibc.malloc.check=3', IFS: '/',
        PATH: fixture.dir, PYTHONPATH: fixture.dir, PYTHONSTARTUP: evil, TMPDIR: fixture.dir, HOME: fixture.dir,
      }; // prettier-ignore
      const assignments = Object.entries(env).map(([name, value]) => `${name}=${value}`);
      const text = await serves({
        wrapper: [...MEMBER, '/usr/bin/env', ...assignments.filter((a) => !a.startsWith('LD_'))],
      });
      expect(text).not.toContain(fixture.dir);
      // With LD_*, the wrappers themselves would load the library. Only the last wrapper may therefore set the
      // variables: env executes the helper.
      await serves({ wrapper: [...MEMBER, '/usr/bin/env', ...assignments] });
      expect(existsSync(marker)).toBe(false);
    });

    it.each(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGPIPE', 'SIGUSR1', 'SIGALRM', 'SIGCHLD', 'SIGQUIT'] as const)(
      '%s from root at each stage ends the helper cleanly or has no effect',
      async (signal) => {
        for (const stage of [0, 1, 2, 3]) {
          const helper = new RawHelper(fixture, { ...setuid, wrapper: MEMBER });
          if (stage > 0) await helper.hello();
          if (stage > 1) await helper.call('NETWORK', { arg: [1, 1] });
          if (stage > 2) {
            await helper.slot(1);
            await helper.call('SPAWN', { slot: 1, role: Role.LEAF, name: ['1'] });
          }
          if (stage === 0) await new Promise((resolve) => setTimeout(resolve, 100));
          helper.child.kill(signal);
          const ending = await helper.close();
          expect(ending.signal).toBeNull();
          expect(ending.code).toBe(0);
          expect(fixture.cgroups()).toEqual([]);
        }
      },
    );

    it.each([0, 1, 2, 5, 10, 300])(
      'killed %i ms after a spawn, it leaves only cgroups, which the next helper removes',
      async (ms) => {
        const helper = new RawHelper(fixture, { ...setuid, wrapper: MEMBER });
        await helper.greet();
        await helper.slot(1);
        const spawned = await helper.call('SPAWN', { slot: 1, role: Role.LEAF, name: ['1'] });
        await new Promise((resolve) => setTimeout(resolve, ms));
        helper.child.kill('SIGKILL');
        await helper.close();
        await new Promise((resolve) => setTimeout(resolve, 150));
        const status = `/proc/${spawned.value[0]}/status`;
        expect(existsSync(status) && !/State:\s+Z/.test(readFileSync(status, 'utf8'))).toBe(false);
        expect(fixture.cgroups()).not.toEqual([]);
        await serves({});
      },
    );
  });
});
