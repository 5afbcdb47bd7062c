import { call, startWorker, type TestWorker } from '../../../support/in-process-worker';

describe('/zygotes', () => {
  let worker: TestWorker;
  let report: object = {};
  beforeAll(async () => {
    worker = await startWorker({ zygotes: () => report, adminToken: 'secret' });
  });
  afterAll(() => worker.close());

  const headers = { authorization: 'Bearer secret' };

  test('returns the current report as JSON, and requires the token', async () => {
    report = { mode: '', memory: { usedMb: 0, limitMb: 0 }, zygotes: [] };
    expect((await call(worker, '/zygotes')).status).toBe(401);
    const empty = await call(worker, '/zygotes', { headers });
    expect([empty.status, empty.headers['content-type']]).toEqual([200, 'application/json']);
    expect(JSON.parse(empty.body)).toEqual(report);
    report = { mode: 'tree', memory: { usedMb: 9.5, limitMb: 0 }, zygotes: [{ id: '', parent: null }] };
    expect(JSON.parse((await call(worker, '/zygotes', { headers })).body)).toEqual(report);
  });

  test('has no paths below it', async () => {
    const reply = await call(worker, '/zygotes/', { headers });
    expect([reply.status, reply.body]).toEqual([404, '404 page not found\n']);
  });

  test('answers a failed report with an internal error without details', async () => {
    const failing = await startWorker({
      zygotes: () => {
        throw new TypeError('inner detail');
      },
    });
    try {
      const reply = await call(failing, '/zygotes');
      expect([reply.status, reply.body]).toEqual([500, 'internal error of the worker\n']);
    } finally {
      await failing.close();
    }
  });
});
