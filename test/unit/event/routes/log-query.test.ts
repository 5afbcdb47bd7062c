import { logRequest } from '../../../../src/event/routes/log-query';

const NOW = Date.parse('2026-11-29T12:00:00Z');
const ask = (query: string) => logRequest(new URLSearchParams(query), NOW);

test.each([
  ['', { follow: false }],
  ['tail=0', { follow: false, tail: 0 }],
  ['tail=100&since=5m&follow=1', { follow: true, tail: 100, sinceMs: NOW - 300_000 }],
  ['since=1.5h', { follow: false, sinceMs: NOW - 5_400_000 }],
  ['since=500ms', { follow: false, sinceMs: NOW - 500 }],
  ['since=999999999d', { follow: false, sinceMs: 0 }],
  ['since=2026-11-29T11:00:00Z', { follow: false, sinceMs: NOW - 3_600_000 }],
  ['follow', { follow: true }],
  ['follow=false&tail=&since=', { follow: false }],
])('%p', (query, expected) => {
  expect(ask(query)).toEqual(expected);
});

test.each([
  ['tail=-1', 'tail'],
  ['tail=1e3', 'tail'],
  ['tail=99999999', 'tail'],
  ['since=yesterday', 'since'],
  ['since=5', 'since'],
  ['since=2026-13-45', 'since'],
  ['follow=maybe', 'follow'],
])('%p is refused with its field', (query, field) => {
  expect(() => ask(query)).toThrow(expect.objectContaining({ code: 'REQUEST_INVALID', field }) as Error);
});
