import { RecentCalls } from '../../../src/metrics/recent';

const base = { atMs: 1, lambda: 'f', requestId: 'r' };

test('keeps the last fifty of each kind, oldest first', () => {
  const recent = new RecentCalls();
  for (let i = 0; i < 60; i++) {
    recent.started({ ...base, atMs: i, cause: 'first', start: 'fork', tier: 'root', startMs: 4, importMs: 1 });
    recent.failure({ ...base, atMs: i, sandbox: '7', code: 'TIMEOUT', status: 0, message: 'late' });
  }
  const times = Array.from({ length: 50 }, (_, i) => i + 10);
  expect(recent.coldStarts.map(({ atMs }) => atMs)).toEqual(times);
  expect(recent.failures.map(({ atMs }) => atMs)).toEqual(times);
});

test('cuts long messages', () => {
  const recent = new RecentCalls();
  recent.failure({ ...base, sandbox: '', code: 'INTERNAL', status: 0, message: 'x'.repeat(5000) });
  expect(recent.failures[0]?.message).toHaveLength(1000);
});
