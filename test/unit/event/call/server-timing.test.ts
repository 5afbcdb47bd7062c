import { serverTiming } from '../../../../src/event/call/server-timing';
import { Call } from '../../../../src/lambda/serve/call/call';

/** A call with these times, in ms since its begin. */
function timed(fill: (call: Call) => void): string {
  const call = new Call('id', 'http');
  fill(call);
  return serverTiming(call, call.beganMs + 20);
}

test('contains queue, start, import, handler and total', () => {
  const text = timed((call) => {
    call.taken(7, { start: 'fork', tier: 'packages', ms: 5 });
    call.sentMs = call.beganMs + 7;
    call.importMs = 2.5;
    call.headMs = call.beganMs + 15;
  });
  expect(text).toBe('queue;dur=2, start;desc=fork-packages;dur=5, import;dur=2.5, handler;dur=5.5, total;dur=20');
});

test('has no import for a warm instance, and marks a frozen instance', () => {
  const warm = timed((call) => {
    call.taken(0.25);
    call.sentMs = call.beganMs + 0.25;
    call.headMs = call.beganMs + 1.25;
  });
  expect(warm).toBe('queue;dur=0.25, start;desc=warm;dur=0, handler;dur=1, total;dur=20');
  const frozen = timed((call) => {
    call.taken(0);
    call.thawed(0.5);
  });
  expect(frozen).toBe('queue;dur=0, start;desc=unpause;dur=0.5, total;dur=20');
});

test('counts for each call only the part of a start that the call waited for', () => {
  const text = timed((call) => {
    call.taken(3, { start: 'fresh', ms: 30 });
  });
  expect(text).toBe('queue;dur=0, start;desc=fresh;dur=3, total;dur=20');
});

test('contains code and body after waits, and only the phases that a failed call reached', () => {
  const text = timed((call) => {
    call.codeMs = 12;
    call.bodyMs = 0.1234567;
  });
  expect(text).toBe('code;dur=12, body;dur=0.123, total;dur=20');
});

test("the platform's share excludes the times of sandbox and client", () => {
  const call = new Call('id', 'http');
  expect(call.overheadMs(call.beganMs + 4)).toBe(4);
  call.bodyMs = 10;
  call.sentMs = call.beganMs + 13;
  call.servedMs = call.beganMs + 113;
  expect(call.overheadMs(call.beganMs + 114)).toBe(4);
});
