/** Contract, section 9: faults of the original that this worker must not have and that no other section covers. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packLambda } from '../../support/deploy';
import { argyleTest, type LiveWorker, localTest } from '../../support/contract-target';

export function faultStatements(worker: LiveWorker): void {
  localTest('a .env that is a link cannot overwrite or read files of the host', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'contract-'));
    try {
      const victim = join(dir, 'victim');
      writeFileSync(victim, 'SECRET=1\n');
      const source = join(dir, 'lambda');
      for (const yaml of ['', 'environment:\n  A: x\n']) {
        const files = { 'f.py': 'import os\n\ndef f(event):\n    return os.environ.get("SECRET")\n' };
        rmSync(source, { recursive: true, force: true });
        mkdirSync(source);
        writeFileSync(join(source, 'f.py'), files['f.py']);
        if (yaml !== '') writeFileSync(join(source, 'ol.yaml'), yaml);
        symlinkSync(victim, join(source, '.env'));
        const name = worker.name(`env-link-${yaml.length}`);
        const archive = await packLambda(source);
        const upload = await worker.upload(name, archive);
        expect(upload).toMatchObject({ status: 500 });
        writeFileSync(worker.dir.path(`w/registry/${name}.tar.gz`), archive);
        const reply = await worker.invoke(name);
        expect([reply.status, reply.body.includes('is a link')]).toEqual([500, true]);
        expect(readFileSync(victim, 'utf8')).toBe('SECRET=1\n');
      }
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  argyleTest('reuse-sandbox: false: concurrent requests are all answered', async () => {
    const name = await worker.deploy('fresh-many', {
      'f.py': 'import time\n\ndef f(event):\n    time.sleep(0.02)\n    return event\n',
      'ol.yaml': 'reuse-sandbox: false\n',
    });
    const events = Array.from({ length: 20 }, (_, i) => i);
    const replies = await Promise.all(events.map((event) => worker.invoke(name, event)));
    expect(replies.map(({ status, body }) => [status, body])).toEqual(events.map((event) => [200, String(event)]));
  });

  test('a crash with queued requests: every request is answered', async () => {
    const code = `import os, time

def f(event):
    time.sleep(0.05)
    if event == 3:
        os._exit(1)
    return event
`;
    const name = await worker.deploy('crash-queued', { 'f.py': code });
    const events = Array.from({ length: 10 }, (_, i) => i);
    const replies = await Promise.all(events.map((event) => worker.invoke(name, event)));
    expect(replies.map(({ status }) => status)).toEqual(events.map((event) => (event === 3 ? 502 : 200)));
  });

  argyleTest('lambdas do not reach the registry on localhost', async () => {
    const code = `import socket

def f(event):
    try:
        socket.create_connection(("127.0.0.1", event), 1).close()
        return "reached"
    except OSError:
        return "refused"
`;
    const name = await worker.deploy('reaches', { 'f.py': code });
    expect(await worker.invoke(name, Number(new URL(worker.url).port))).toMatchObject({ body: '"refused"' });
  });

  argyleTest('lambdas are not root on the host and have no capability', async () => {
    const code = `import os

def f(event):
    try:
        os.mknod("/tmp/device", 0o60666, os.makedev(8, 0))
        made = True
    except OSError:
        made = False
    return [os.getuid(), made]
`;
    const name = await worker.deploy('mknod', { 'f.py': code });
    expect(JSON.parse((await worker.invoke(name)).body)).toEqual([1000, false]);
  });

  test('requests for names that do not exist leave nothing behind', async () => {
    for (let i = 0; i < 20; i++) expect(await worker.call(`/run/bogus-${i}`)).toMatchObject({ status: 500 });
    expect((await worker.call('/debug')).body).not.toContain('bogus-');
    expect((await worker.call('/registry/')).body).not.toContain('bogus-');
  });
}
