/**
 * An error is thrown in each layer. The error fails one request if a caller can get an answer. Otherwise the worker
 * logs the error and ends.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { deploy, invoke } from '../../support/deploy';
import { E2eWorker } from '../../support/spawned-worker';
import { describePrivileged } from '../../support/privileged';
import { sleep, until } from '../../support/until';

jest.setTimeout(process.env['ARGYLE_VM'] === '1' ? 600_000 : 60_000);

const ROOT = resolve(__dirname, '../../..');
const PRELOAD = join(ROOT, 'test/support/throw-in.cjs');
const SHOUTS = { 'f.py': 'def f(event):\n    print("said", flush=True)\n    return event\n' };
const NEEDY = { ...SHOUTS, 'requirements.txt': 'argyle-sample-tiny==1.0.0\n' };

describePrivileged('an error in each layer', () => {
  let worker: E2eWorker;
  let child: ChildProcess;
  let ended: Promise<number | null>;
  let fresh = 0;

  /** Starts the worker in the foreground, with a hook that throws errors. */
  const start = async (): Promise<void> => {
    const log = openSync(join(worker.dir, 'worker.out'), 'w');
    writeFileSync(join(worker.top, 'throw'), '');
    const env = { ...process.env, ARGYLE_TEST_THROW: join(worker.top, 'throw') };
    const argv = ['-r', PRELOAD, join(ROOT, 'bin/ol'), 'worker', 'up', `-p=${worker.dir}`];
    child = spawn(process.execPath, argv, { cwd: worker.top, env, stdio: ['ignore', log, log] });
    closeSync(log);
    ended = once(child, 'exit').then(([code]) => code as number | null);
    await until('the worker is ready', () => worker.output().includes('worker is ready'), 30_000);
    await deploy(worker.url, SHOUTS, 'shouts');
    expect((await invoke(worker.url, 'shouts', 1)).status).toBe(200);
  };
  const throwIn = async (place: string): Promise<void> => {
    writeFileSync(join(worker.top, 'throw'), place);
    child.kill('SIGUSR2');
    await sleep(50);
  };
  /** Calls a new function: the worker looks up packages and makes a sandbox. */
  const callNew = async (source: Record<string, string>) => {
    const name = await deploy(worker.url, source, `fresh${++fresh}`);
    return invoke(worker.url, name, 1, { signal: AbortSignal.timeout(20_000) });
  };

  beforeAll(async () => {
    worker = new E2eWorker({ config: { log_output: true, features: { import_cache: 'tree' } } });
    await worker.init();
  });
  afterAll(() => worker.remove());

  it('fails one request if a caller can get an answer, and the worker continues', async () => {
    await start();
    const places = {
      'event/routes/response-sink:HttpResponseSink:start': SHOUTS,
      'lambda/serve/call/exchange:Exchange:onHead': SHOUTS,
      'lambda/serve/call/exchange:Exchange:onData': SHOUTS,
      'packages/install/installer:PackageInstaller:ensureInstalled': NEEDY,
      'zygote/provider:ZygoteProvider:createWhile': SHOUTS,
      'sandbox/guarded:GuardedSandbox:dispatch': SHOUTS,
      'sandbox/guest-http:GuestHttp:onBoot': SHOUTS,
    };
    for (const [place, source] of Object.entries(places)) {
      await throwIn(place);
      // If the response had begun, the connection was cut.
      const answer = await callNew(source).catch(() => undefined);
      const failed = answer === undefined || answer.status >= 500 || answer.body.includes('failed');
      expect({ place, failed }).toEqual({ place, failed: true });
      await throwIn('');
      // The first call afterwards may use a connection that was cut with the failed response.
      const served = (): Promise<boolean> =>
        invoke(worker.url, 'shouts', 1).then(
          ({ status }) => status === 200,
          () => false,
        );
      await until(`calls are served after ${place} threw`, served, 5000);
    }
    child.kill('SIGTERM');
    expect(await ended).toBe(0);
    expect(worker.output()).not.toContain('fault of the worker itself');
  });

  it.each([
    ['helper', 'helper/completions:Completions:settle', 'uncaughtException'],
    ['sandbox', 'sandbox/log-tap:LogTap:take', 'uncaughtException'],
    ['lambda', 'lambda/serve/instance:Instance:leave', 'unhandledRejection'],
  ])(
    '%s: an error in %s ends the worker with a logged cause; the next worker starts clean',
    async (_layer, place, origin) => {
      await start();
      await throwIn(place);
      await callNew(SHOUTS).catch(() => undefined);
      expect(await ended).toBe(1);
      const line =
        worker
          .output()
          .split('\n')
          .find((text) => text.includes('"level":60')) ?? '';
      expect(line).toContain(`"origin":"${origin}"`);
      expect(line).toMatch(/thrown on purpose in .*the cause of it.*fault of the worker itself/);
      await worker.up();
      expect((await invoke(worker.url, 'shouts', 3)).body.trim()).toBe('3');
      await worker.down();
      expect(worker.cgroups()).toEqual([]);
      expect(existsSync(join(worker.dir, 'worker/worker.pid'))).toBe(false);
    },
  );
});
