/**
 * kill -9 of a worker. The next worker has its statistics and packages, and makes its zygotes before the first call.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseSeed, type PopularitySeed } from '../../../src/zygote/learn/seed';
import { deploy, invoke } from '../../support/deploy';
import { zygotes } from '../../support/reports';
import { E2eWorker } from '../../support/spawned-worker';
import { startTestMirror, type TestMirror } from '../../support/mirror';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';

jest.setTimeout(process.env['ARGYLE_VM'] === '1' ? 600_000 : 120_000);

const HEAVY = 'argyle-sample-numeric==1';

describePrivileged('a worker that is killed', () => {
  let mirror: TestMirror;
  let worker: E2eWorker;
  beforeAll(async () => {
    mirror = await startTestMirror();
    worker = new E2eWorker({ config: { pip_mirror: mirror.url, features: { import_cache: 'popularity' } } });
    await worker.init();
    await worker.up();
  });
  afterAll(async () => {
    await worker.remove();
    await mirror.close();
  });

  const isReady = async (): Promise<boolean> =>
    (await zygotes(worker.url)).some(({ packages, state }) => packages.includes(HEAVY) && state === 'ready');
  const file = (): string => join(worker.dir, 'popularity.json');
  const seed = (): PopularitySeed => parseSeed(JSON.parse(readFileSync(file(), 'utf8')));

  it('passes its statistics to the next worker, which makes the zygote before the first call', async () => {
    for (const name of ['one', 'two', 'three', 'four']) {
      await deploy(worker.url, 'sample-numeric', name);
      expect((await invoke(worker.url, name, {})).status).toBe(200);
    }
    await until('its zygote', isReady, 60_000);
    await until('it is written', () => existsSync(file()) && seed().costs[HEAVY]?.measured === true, 30_000);
    const asked = mirror.requests.length;
    process.kill(worker.pid(), 'SIGKILL');

    await worker.up();
    await until('the zygote that nobody has asked for', isReady, 60_000);
    await deploy(worker.url, 'sample-numeric', 'five');
    expect((await invoke(worker.url, 'five', {})).status).toBe(200);
    const stats = (await (await fetch(`${worker.url}/stats`)).json()) as Record<string, number>;
    expect(stats['ImportCache.hit.cnt']).toBe(1);
    // The worker found the packages that the first worker had installed.
    expect(mirror.requests.slice(asked)).toEqual([]);
  });
});
