import { forwarded } from '../../../../src/event/http/forwarded';

function given(rawHeaders: string[], options: { url?: string; peer?: string; name?: string; keep?: boolean } = {}) {
  const { url = '/run/app/x', peer = '::ffff:10.0.0.9', name = 'app', keep = true } = options;
  const { headers, origin } = forwarded({ rawHeaders, url, socket: { remoteAddress: peer } }, name, 'r1', keep);
  const pairs = headers.flatMap((value, i) => (i % 2 === 0 ? [[value, headers[i + 1]]] : []));
  return { pairs, origin, of: Object.fromEntries(pairs) as Record<string, string> };
}

test("adds client, protocol, host and mount point after the request's headers", () => {
  const { pairs, origin } = given(['X-A', '1', 'host', 'www.example.com:5000', 'x-a', '2']);
  expect(pairs).toEqual([
    ['Host', 'www.example.com:5000'],
    ['X-A', '1'],
    ['x-a', '2'],
    ['X-Forwarded-For', '10.0.0.9'],
    ['X-Forwarded-Proto', 'http'],
    ['X-Forwarded-Host', 'www.example.com:5000'],
    ['X-Forwarded-Prefix', '/run/app'],
    ['X-Request-Id', 'r1'],
    ['Forwarded', 'for=10.0.0.9;proto=http;host="www.example.com:5000"'],
  ]);
  expect(origin).toBe('http://www.example.com:5000');
});

test('keeps the headers of a proxy before the worker, and appends the proxy', () => {
  const raw = ['Host', 'worker:5000', 'X-Forwarded-For', '1.2.3.4', 'x-forwarded-for', '5.6.7.8, 9.9.9.9'];
  const more = ['X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'example.com', 'X-Forwarded-Prefix', '/api/'];
  const { of, origin } = given([...raw, ...more, 'Forwarded', 'for=1.2.3.4'], { peer: '::1' });
  expect(of).toMatchObject({
    Host: 'worker:5000',
    'X-Forwarded-For': '1.2.3.4, 5.6.7.8, 9.9.9.9, ::1',
    'X-Forwarded-Proto': 'https',
    'X-Forwarded-Host': 'example.com',
    'X-Forwarded-Prefix': '/api/run/app',
    Forwarded: 'for=1.2.3.4, for="[::1]";proto=http;host="worker:5000"',
  });
  expect(origin).toBe('https://example.com/api');
});

test('uses the first Host, or that of an absolute target; an empty Host counts as missing', () => {
  expect(given(['Host', 'a', 'host', 'b']).pairs.filter(([key]) => key?.toLowerCase() === 'host')).toHaveLength(1);
  expect(given(['Host', 'a'], { url: 'http://b:1/run/app' }).of).toMatchObject({
    Host: 'b:1',
    'X-Forwarded-Host': 'b:1',
  });
  for (const raw of [[], ['Host', '']]) {
    const { of, origin } = given(raw);
    expect([of['Host'], of['X-Forwarded-Host'], of['Forwarded'], origin]).toEqual([
      undefined,
      undefined,
      'for=10.0.0.9;proto=http',
      undefined,
    ]);
  }
});

test('drops Host when functions see root', () => {
  const { of, origin } = given(['Host', 'a'], { keep: false });
  expect([of['Host'], of['X-Forwarded-Host'], origin]).toEqual([undefined, 'a', 'http://a']);
});

test('escapes names, and quotes hosts', () => {
  expect(given(['Host', 'a"b\\'], { name: 'ä b' }).of).toMatchObject({
    'X-Forwarded-Prefix': '/run/%C3%A4%20b',
    Forwarded: 'for=10.0.0.9;proto=http;host="a\\"b\\\\"',
  });
});
