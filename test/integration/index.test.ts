import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PackageInstaller } from '../../src/packages/install/installer';
import { readNetrc } from '../../src/packages/install/netrc';
import { Resolver } from '../../src/packages/resolver';
import { type GuardedIndex, LOGIN, startGuardedIndex } from '../support/guarded-index';
import { startTestMirror, type TestMirror } from '../support/mirror';
import { failure } from '../support/package-fixture';
import { Rig, whyNoHelper } from '../support/real-sandboxes';

const real = whyNoHelper() === undefined || process.env.ARGYLE_MUST_WORK !== undefined ? describe : describe.skip;

jest.setTimeout(120_000);

const TINY = 'argyle-sample-tiny==1.0.0';
const SPY = 'argyle-spy==1.0';

real.each(['uv', 'pip'] as const)('an index seen from installers, by %s', (tool) => {
  let index: GuardedIndex;
  let open: TestMirror;
  let rig: Rig;
  let home: string;
  let pkgsDir: string;

  const installer = (netrc = true, indexTimeoutSec = 15, env?: Record<string, string>) =>
    new PackageInstaller({
      pkgsDir,
      sandbox: rig.installer,
      pipMirror: env === undefined ? index.url : '',
      pipEnv: () => Promise.resolve(env ?? {}),
      netrc: (hosts) => (netrc ? readNetrc(hosts, { HOME: home }) : Promise.resolve('')),
      tool,
      indexTimeoutSec,
    });

  beforeAll(async () => {
    open = await startTestMirror();
    index = await startGuardedIndex(open.dir);
    const ports = [index.port, Number(new URL(open.url).port)];
    rig = new Rig({ installerEndpoints: ports.map((port) => ({ host: '127.0.0.1', port })) });
    pkgsDir = join(rig.dir, 'packages');
    home = mkdtempSync(join(tmpdir(), 'argyle-home-'));
    const entry = `machine 127.0.0.1 login ${LOGIN.user} password ${LOGIN.password}\n`;
    writeFileSync(join(home, '.netrc'), `machine other.example login bob password hidden\n${entry}`, { mode: 0o600 });
  });

  afterEach(() => {
    index.mode = 'ok';
  });

  afterAll(async () => {
    await rig.close();
    await index.close();
    await open.close();
    rmSync(home, { recursive: true });
  });

  test("the error names the index's status when there are no credentials", async () => {
    const error = await failure(installer(false).ensure([TINY]));
    expect(error.message).toContain('401');
    expect(existsSync(join(pkgsDir, TINY))).toBe(false);
  });

  test("the worker's netrc is used for resolving and installing", async () => {
    const shared = installer();
    const input = { requirements: ['argyle-sample-tiny<2'], constraints: [], hashed: false };
    expect((await new Resolver(shared).resolve(input)).map(({ spec }) => spec)).toEqual(['argyle-sample-tiny==1.1.0']);
    expect(await shared.ensure([TINY])).toMatchObject([{ spec: TINY }]);
  });

  test("a package's set-up code cannot read the netrc", async () => {
    const asked = installer().ensure([SPY]);
    if (tool === 'pip') {
      // pip drops its credentials before it builds a package, and so cannot fetch this one.
      expect((await failure(asked)).message).toContain('401');
      return;
    }
    await asked;
    const seen = readFileSync(join(pkgsDir, SPY, 'files/argyle_spy.py'), 'utf8');
    expect(seen).toContain('NETRC');
    expect(seen).not.toContain(LOGIN.password);
    expect(seen).not.toContain('hidden');
  });

  test.each([500, 403, 404, 503])('status %d is named in the error', async (status) => {
    index.mode = status;
    const error = await failure(installer().ensure(['argyle-sample-json==1.0.0']));
    expect(error.message).toMatch(status === 404 ? /404|not found|No matching distribution/ : new RegExp(`${status}`));
  });

  test('the error names the one of several indexes that refuses', async () => {
    index.mode = 403;
    const env = { PIP_INDEX_URL: open.url, PIP_EXTRA_INDEX_URL: index.url };
    const error = await failure(installer(true, 15, env).ensure(['argyle-missing==1.0.0']));
    expect(error.message).toMatch(new RegExp(`403.*${index.port}`));
  });

  test('an index that never answers is an error after the time limit', async () => {
    index.mode = 'hang';
    const startMs = performance.now();
    const error = await failure(installer(true, 1).ensure(['argyle-sample-json==1.0.0']));
    expect(error.message).toMatch(/timed? ?out/i);
    expect(performance.now() - startMs).toBeLessThan(15_000);
  });
});
