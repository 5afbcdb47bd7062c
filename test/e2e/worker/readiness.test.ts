/** /healthz and /readyz of real workers whose helper stops, in both server modes. */
import { E2eWorker } from '../../support/spawned-worker';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';

interface Report {
  ready: boolean;
  checks: Record<string, { ok: boolean; why?: string }>;
}

describePrivileged('a real worker', () => {
  jest.setTimeout(120_000);

  test.each(['lambda', 'sock'])(
    'in %s mode is healthy but not ready while its helper does not answer',
    async (mode) => {
      const worker = new E2eWorker({ config: { server_mode: mode, features: { import_cache: '' } } });
      const ask = async (): Promise<{ status: number } & Report> => {
        const reply = await fetch(`${worker.url}/readyz`);
        return { status: reply.status, ...((await reply.json()) as Report) };
      };
      try {
        await worker.init();
        await worker.up();
        const first = await ask();
        expect(first).toMatchObject({ status: 200, ready: true });
        expect(Object.keys(first.checks)).toEqual(['helper', 'memory', 'registry', 'worker_dir', 'disk']);
        const helper = worker.helperPid();
        process.kill(helper, 'SIGSTOP');
        try {
          await until('not ready', async () => (await ask()).status === 503, 10_000);
          expect((await ask()).checks['helper']).toEqual({ ok: false, why: 'no answer within 1000 ms' });
          expect(await (await fetch(`${worker.url}/healthz`)).text()).toBe('ok\n');
          expect(await (await fetch(`${worker.url}/status`)).text()).toBe('ready\n');
        } finally {
          process.kill(helper, 'SIGCONT');
        }
        await until('ready again', async () => (await ask()).ready, 10_000);
        process.kill(worker.helperPid(), 'SIGKILL');
        await until('ready with another helper', async () => (await ask()).ready, 10_000);
      } finally {
        await worker.remove();
      }
    },
  );
});
