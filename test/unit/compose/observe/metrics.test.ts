import { countCall, makeMetrics } from '../../../../src/compose/observe/metrics';
import { ArgyleError, type ErrorCode } from '../../../../src/errors';
import { Call } from '../../../../src/lambda/serve/call/call';

/** A call that has ended. */
function ended(more: { status?: number; fault?: ErrorCode; cold?: boolean } = {}): Call {
  const call = new Call('id', 'http');
  call.taken(5, more.cold === true ? { start: 'fork', tier: 'packages', ms: 4, cause: 'busy' } : undefined);
  if (more.status !== undefined) call.answered(3, more.status);
  if (more.fault !== undefined) call.fault = new ArgyleError(more.fault, 'why');
  return call;
}

describe('countCall', () => {
  const { metrics } = makeMetrics();

  test('records a cold start with its kind and cause', () => {
    countCall(metrics, 'f', ended({ status: 200, cold: true }));
    countCall(metrics, 'f', ended({ status: 200 }));
    expect(metrics.recent.coldStarts).toEqual([
      {
        ...{ atMs: expect.any(Number) as number, lambda: 'f', requestId: 'id' },
        ...{ cause: 'busy', start: 'fork', tier: 'packages', startMs: 4, importMs: 3 },
      },
    ]);
    expect(metrics.recent.failures).toEqual([]);
    expect(metrics.readings()[0]).toMatchObject({ calls: 2, failed: 0, cold: { busy: 1 } });
  });

  test.each<[Parameters<typeof ended>[0], boolean]>([
    [{ status: 500 }, true],
    [{ status: 404 }, false],
    [{ fault: 'TIMEOUT' }, true],
    [{ status: 200, fault: 'SANDBOX_DEAD' }, true],
    [{ fault: 'INSTANCE_QUEUE_FULL' }, true],
    [{ fault: 'CLIENT_GONE' }, false],
    [{ fault: 'LAMBDA_NOT_FOUND' }, false],
    [{ fault: 'SHUTTING_DOWN' }, false],
  ])('%j is a failure: %s', (call, isOne) => {
    const before = metrics.recent.failures.length;
    countCall(metrics, 'f', ended(call));
    expect(metrics.recent.failures.length - before).toBe(isOne ? 1 : 0);
    if (isOne) {
      const { status = 0, fault = '' } = call ?? {};
      expect(metrics.recent.failures.at(-1)).toMatchObject({ status, code: fault, message: fault === '' ? '' : 'why' });
    }
  });
});
