/**
 * Web applications at /run/NAME. Plain WSGI and ASGI applications always run. The same applications with Flask, Django
 * and FastAPI run with ARGYLE_FRAMEWORKS=1, because their installation takes a minute and needs a package index that
 * has them.
 */
import { join } from 'node:path';
import { describeContract, liveWorker } from '../../support/contract-target';
import { pypiReached } from '../../support/pypi';
import { WEB_DIR, webAppTests, type WebApp } from '../../support/web-app';

jest.setTimeout(300_000);

const FRAMEWORKS = process.env['ARGYLE_FRAMEWORKS'] === '1';

describeContract('web applications', () => {
  const worker = liveWorker();

  describe.each<WebApp>(['wsgi', 'asgi'])('%s', (kind) => {
    let name = '';
    beforeAll(async () => {
      name = await worker.deploy(`web-${kind}`, join(WEB_DIR, kind));
    });
    webAppTests(kind, () => ({ worker, name }));
  });
});

describeContract('[optional] web frameworks (ARGYLE_FRAMEWORKS=1)', () => {
  if (!FRAMEWORKS || !pypiReached()) {
    test.skip('are not requested, or the package index is unreachable', () => undefined);
    return;
  }
  const worker = liveWorker({ config: { limits: { procs: 32, mem_mb: 256 } } });

  describe.each<WebApp>(['flask', 'django', 'fastapi'])('%s', (kind) => {
    let name = '';
    beforeAll(async () => {
      name = await worker.deploy(`web-${kind}`, join(WEB_DIR, kind));
    });
    webAppTests(kind, () => ({ worker, name }));
  });

  describe('django', () => {
    let name = '';
    beforeAll(async () => {
      name = await worker.deploy('web-guarded', join(WEB_DIR, 'django'));
    });
    const call = (headers: Record<string, string>, method = 'GET', body = '') =>
      worker.call(`/run/${name}/guarded`, { method, body, headers });

    test('answers to its own hosts only', async () => {
      expect(await call({})).toMatchObject({ status: 200 });
      expect(await call({ host: 'root' })).toMatchObject({ status: 400 });
      expect(await call({ host: 'example.com' })).toMatchObject({ status: 400 });
    });

    test("accepts a browser's form from its own origin, and refuses forms of other sites", async () => {
      const reply = await call({});
      const cookie = (reply.headers['set-cookie']?.[0] ?? '').split(';')[0] ?? '';
      const type = { cookie, 'content-type': 'application/x-www-form-urlencoded' };
      const form = `csrfmiddlewaretoken=${reply.body}`;
      expect(await call({ ...type, origin: worker.url }, 'POST', form)).toMatchObject({
        status: 200,
        body: 'accepted',
      });
      expect(await call({ ...type, origin: 'http://evil.example' }, 'POST', form)).toMatchObject({ status: 403 });
    });
  });
});
