/** Contract, section 5: the registry, and when its changes take effect. */
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { packLambda } from '../../support/deploy';
import { argyleTest, type LiveWorker, localTest, REGISTRY_CACHE_MS } from '../../support/contract-target';
import { sleep, until } from '../../support/until';

const SAYS = (text: string) => ({ 'f.py': `def f(event):\n    return "${text}"\n` });

export function registryStatements(worker: LiveWorker): void {
  const names = async () => JSON.parse((await worker.call('/registry/')).body) as string[];

  test('POST /registry/<n> is 201 `Lambda N uploaded successfully`, and the list has it', async () => {
    const name = worker.name('up');
    expect(await worker.upload(name, SAYS('a'))).toMatchObject({
      status: 201,
      body: `Lambda ${name} uploaded successfully`,
    });
    expect(await names()).toContain(name);
  });

  argyleTest('GET /registry/ is application/json', async () => {
    const reply = await worker.call('/registry/');
    expect(reply).toMatchObject({ status: 200, headers: { 'content-type': 'application/json' } });
  });

  test('DELETE is 200 `Lambda N deleted successfully`, then 500 `lambda N not found`', async () => {
    const name = await worker.deploy('down', SAYS('a'));
    const remove = () => worker.call(`/registry/${name}`, { method: 'DELETE' });
    expect(await remove()).toMatchObject({ status: 200, body: `Lambda ${name} deleted successfully` });
    expect(await names()).not.toContain(name);
    expect(await remove()).toMatchObject({ status: 500, body: `lambda ${name} not found\n` });
  });

  test("GET …/config is the configuration with Go's field names, 404 for an unknown function", async () => {
    const name = await worker.deploy('config', SAYS('a'));
    const reply = await worker.call(`/registry/${name}/config`);
    const text = '{"Triggers":{"HTTP":[{"Method":"*"}],"Cron":null,"Kafka":null},"Environment":{},"ReuseSandbox":true}';
    expect([reply.status, reply.body.trim()]).toEqual([200, text]);
    expect(reply.headers['content-type']).toBe('application/json');
    expect(await worker.call('/registry/unknown/config')).toMatchObject({ status: 404 });
  });

  test('GET …/config returns the settings of ol.yaml', async () => {
    const yaml = `triggers:
  http: [{method: PUT}]
  cron: [{schedule: "* * * * *"}]
  kafka:
    - {bootstrap_servers: ["b:1"], topics: [t], auto_offset_reset: earliest}
environment: {A: 1}
reuse-sandbox: false
`;
    const name = await worker.deploy('config-full', { ...SAYS('a'), 'ol.yaml': yaml });
    expect(JSON.parse((await worker.call(`/registry/${name}/config`)).body)).toMatchObject({
      Triggers: {
        HTTP: [{ Method: 'PUT' }],
        Cron: [{ Schedule: '* * * * *' }],
        Kafka: [{ bootstrap_servers: ['b:1'], topics: ['t'], auto_offset_reset: 'earliest' }],
      },
      Environment: { A: '1' },
      ReuseSandbox: false,
    });
  });

  test('GET /registry/<n> is 501 `not implemented`, other methods are 405', async () => {
    const name = await worker.deploy('get', SAYS('a'));
    expect(await worker.call(`/registry/${name}`)).toMatchObject({ status: 501, body: 'not implemented\n' });
    for (const method of ['PUT', 'PATCH']) {
      expect(await worker.call(`/registry/${name}`, { method })).toMatchObject({ status: 405 });
    }
    expect(await worker.call('/registry/', { method: 'DELETE' })).toMatchObject({ status: 405 });
  });

  test('an invalid name is 400', async () => {
    for (const name of ['a%20b', 'x:y']) expect(await worker.upload(name, SAYS('a'))).toMatchObject({ status: 400 });
  });

  test('an upload that is not an archive is 500 `Failed to add lambda: …`', async () => {
    const reply = await worker.upload(worker.name('junk'), Buffer.from('junk'));
    expect([reply.status, reply.body.startsWith('Failed to add lambda: ')]).toEqual([500, true]);
  });

  argyleTest.each([
    ['no entry file', { 'other.py': '' }, /^Failed to add lambda: cannot determine runtime: no f\.py or f\.bin found/],
    [
      'an unknown limit',
      { ...SAYS('b'), 'ol.yaml': 'limits: {memory_mb: 9}\n' },
      /limits\.memory_mb .* limits\.mem_mb,/,
    ],
    [
      'a limit above its cap',
      { ...SAYS('b'), 'ol.yaml': 'limits: {procs: 2000}\n' },
      /limits\.procs is 2000, .* 1024 /,
    ],
    [
      'lines that cannot be installed',
      { ...SAYS('b'), 'requirements.txt': '-e .\nok==1\na==b\n' },
      /line 1: .*; .*line 3: /,
    ],
  ] as [string, Record<string, string>, RegExp][])(
    'an upload with %s is refused, and the old code stays',
    async (what, files, message) => {
      const base = what.replaceAll(' ', '-');
      const name = await worker.deploy(base, SAYS('old'));
      const reply = await worker.upload(name, files);
      expect([reply.status, reply.body]).toEqual([500, expect.stringMatching(message)]);
      await sleep(REGISTRY_CACHE_MS);
      expect(await worker.invoke(name)).toMatchObject({ status: 200, body: '"old"' });
    },
  );

  argyleTest('a failed upload changes nothing: the list and the old code stay', async () => {
    const name = await worker.deploy('kept', SAYS('old'));
    await worker.upload(name, Buffer.from('junk'));
    await worker.upload(worker.name('phantom'), Buffer.from('junk'));
    expect(await names()).not.toContain(worker.name('phantom'));
    expect(await worker.invoke(name)).toMatchObject({ status: 200, body: '"old"' });
  });

  localTest('the registry directory holds <name>.tar.gz at its root, without temporary files', async () => {
    const name = await worker.deploy('file', SAYS('a'));
    const files = readdirSync(worker.dir.path('w/registry'));
    expect(files).toContain(`${name}.tar.gz`);
    expect(files.filter((file) => !/\.tar\.gz(\.attrs)?$/.test(file))).toEqual([]);
  });

  localTest('a file that is copied into the directory runs and has a config, but is not listed', async () => {
    const name = worker.name('beside');
    writeFileSync(worker.dir.path(`w/registry/${name}.tar.gz`), await packLambda(SAYS('beside')));
    expect(await worker.invoke(name)).toMatchObject({ status: 200, body: '"beside"' });
    expect(await worker.call(`/registry/${name}/config`)).toMatchObject({ status: 200 });
    expect(await names()).not.toContain(name);
  });

  test('the registry is asked for code only after registry_cache_ms, and new code then runs', async () => {
    const name = await worker.deploy('update', SAYS('old'));
    expect(await worker.invoke(name)).toMatchObject({ body: '"old"' });
    const pulled = Date.now();
    await worker.deploy('update', SAYS('new'));
    const early = await worker.invoke(name);
    // On a busy machine the delay may be longer than the cache time; the check is then skipped.
    if (Date.now() - pulled < REGISTRY_CACHE_MS) expect(early.body).toBe('"old"');
    await sleep(REGISTRY_CACHE_MS + 50 - (Date.now() - pulled));
    expect(await worker.invoke(name)).toMatchObject({ status: 200, body: '"new"' });
  });

  argyleTest('a request that runs while new code arrives completes with the old code', async () => {
    const code = (text: string) => ({
      'f.py': `import time\n\ndef f(event):\n    time.sleep(event)\n    return "${text}" + open("/handler/data").read()\n`,
      data: text,
    });
    const name = await worker.deploy('running', code('old'));
    await worker.invoke(name, 0);
    await worker.deploy('running', code('new'));
    const running = worker.invoke(name, REGISTRY_CACHE_MS / 1000 + 1);
    await sleep(REGISTRY_CACHE_MS + 200);
    expect(await worker.invoke(name, 0)).toMatchObject({ body: '"newnew"' });
    expect(await running).toMatchObject({ status: 200, body: '"oldold"' });
  });

  localTest('a failed pull is 500 although old code exists, and the next call pulls again', async () => {
    const name = await worker.deploy('repull', SAYS('old'));
    await worker.invoke(name);
    writeFileSync(worker.dir.path(`w/registry/${name}.tar.gz`), 'junk');
    await sleep(REGISTRY_CACHE_MS + 50);
    expect(await worker.invoke(name)).toMatchObject({ status: 500 });
    writeFileSync(worker.dir.path(`w/registry/${name}.tar.gz`), await packLambda(SAYS('mended')));
    expect(await worker.invoke(name)).toMatchObject({ status: 200, body: '"mended"' });
  });

  test('a deleted function runs until registry_cache_ms has passed', async () => {
    const name = await worker.deploy('expires', SAYS('a'));
    await worker.invoke(name);
    const pulled = Date.now();
    await worker.call(`/registry/${name}`, { method: 'DELETE' });
    const early = await worker.invoke(name);
    if (Date.now() - pulled < REGISTRY_CACHE_MS) expect(early.status).toBe(200);
    await sleep(REGISTRY_CACHE_MS + 50 - (Date.now() - pulled));
    expect(await worker.invoke(name)).toMatchObject({ status: 500 });
  });

  localTest('a 405 directly after an update still ends the old instances and their code', async () => {
    const name = await worker.deploy('update-405', SAYS('old'));
    await worker.invoke(name);
    const dirs = () => readdirSync(worker.dir.path('w/worker/code')).filter((dir) => dir.endsWith(`-${name}`));
    expect(dirs()).toHaveLength(1);
    await worker.deploy('update-405', { ...SAYS('new'), 'ol.yaml': 'triggers:\n  http: [{method: GET}]\n' });
    await sleep(REGISTRY_CACHE_MS + 50);
    expect(await worker.invoke(name)).toMatchObject({ status: 405 });
    await until('old code is gone', () => dirs().length === 1);
    expect(await worker.call(`/run/${name}`)).toMatchObject({ status: 200, body: '"new"' });
  });

  localTest('an unreadable registry is 500 without a crash', async () => {
    const name = worker.name('dir-instead');
    const path = worker.dir.path(`w/registry/${name}.tar.gz`);
    rmSync(path, { force: true });
    expect(existsSync(path)).toBe(false);
    expect(await worker.invoke(name)).toMatchObject({ status: 500 });
    expect(await worker.call('/status')).toMatchObject({ status: 200 });
  });
}
