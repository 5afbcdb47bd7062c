import { Cancellation, type CancelSignal } from '../../../../../src/lambda/serve/call/cancellation';

describe.each<[string, () => { signal: CancelSignal; abort: () => void }]>([
  [
    'a cancellation',
    () => {
      const cancellation = new Cancellation();
      return { signal: cancellation, abort: () => cancellation.abort() };
    },
  ],
  // Node's own classes, which must behave in the same way.
  [
    'an AbortController',
    () => {
      const controller = new AbortController();
      return { signal: controller.signal, abort: () => controller.abort() };
    },
  ],
])('%s', (_name, make) => {
  test('calls each listener once, and only those that are registered at the time', () => {
    const { signal, abort } = make();
    const calls: string[] = [];
    const twice = (): number => calls.push('twice');
    const removed = (): number => calls.push('removed');
    signal.addEventListener('abort', twice);
    signal.addEventListener('abort', twice);
    signal.addEventListener('abort', removed);
    signal.addEventListener('abort', () => calls.push(`aborted: ${signal.aborted}`));
    signal.removeEventListener('abort', removed);
    expect(signal.aborted).toBe(false);
    abort();
    signal.addEventListener('abort', () => calls.push('late'));
    abort();
    expect(calls).toEqual(['twice', 'aborted: true']);
    expect(signal.aborted).toBe(true);
  });

  test('a listener may remove itself and others', () => {
    const { signal, abort } = make();
    const calls: string[] = [];
    const first = (): void => {
      calls.push('first');
      signal.removeEventListener('abort', first);
      signal.removeEventListener('abort', second);
    };
    const second = (): number => calls.push('second');
    signal.addEventListener('abort', first);
    signal.addEventListener('abort', second);
    signal.addEventListener('abort', () => calls.push('third'));
    abort();
    expect(calls).toEqual(['first', 'third']);
  });
});
