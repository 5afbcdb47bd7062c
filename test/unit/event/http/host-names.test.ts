import { hostName, isCrossSite, KnownHosts } from '../../../../src/event/http/host-names';

test.each([
  ['localhost', 'localhost'],
  ['LocalHost.:5000', 'localhost'],
  ['[::1]:5000', '::1'],
  ['10.0.0.1:80', '10.0.0.1'],
  ['', ''],
  ['a/b', undefined],
  ['user@localhost', undefined],
  ['localhost:5000x', undefined],
  ['localhost, evil.example', undefined],
])('the name of %p is %p', (host, name) => {
  expect(hostName(host)).toBe(name);
});

test.each([
  [undefined, true],
  ['localhost:5000', true],
  ['127.0.0.1:5000', true],
  ['[::1]:5000', true],
  ['192.168.1.20', true],
  ['worker', true],
  ['app.localhost', true],
  ['worker-1.pool.svc.cluster.local:5000', true],
  ['ip-10-0-0-1.ec2.internal', true],
  ['box.example.com', true],
  ['BOX.example.com.:5000', true],
  ['listed.example', true],
  ['a.b.suffix.example', true],
  ['suffix.example', false],
  ['evil.example', false],
  ['evil.example:5000', false],
  ['localhost.evil.example', false],
  ['127.0.0.1.evil.example', false],
  ['127.0.0.1.nip.io', false],
  ['evillocalhost.com', false],
  ['xlisted.example', false],
  ['evil.example/localhost', false],
])('Host %p is accepted: %p', (host, accepted) => {
  const hosts = new KnownHosts(['box.example.com', ''], 'Listed.example, .suffix.example');
  expect([hosts.accepts(host), hosts.accepts(host)]).toEqual([accepted, accepted]);
});

test('a star accepts every Host', () => {
  expect(new KnownHosts([], '*').accepts('evil.example')).toBe(true);
});

test.each([
  [undefined, undefined, false],
  ['same-origin', 'http://localhost:5000', false],
  ['none', undefined, false],
  ['same-site', undefined, true],
  ['cross-site', undefined, true],
  ['cross-site', 'http://localhost:5000', true],
  ['anything', undefined, true],
  [undefined, 'http://localhost:5000', false],
  [undefined, 'HTTP://LOCALHOST:5000', false],
  [undefined, 'https://localhost:5000', false],
  [undefined, 'http://localhost:3000', true],
  [undefined, 'http://evil.example', true],
  [undefined, 'http://evil.example/localhost:5000', true],
  [undefined, 'null', true],
  [undefined, '', true],
  ['cross-site', 'https://app.example', false],
  [undefined, 'https://app.example', false],
  [undefined, 'https://app.example.evil.example', true],
])('Sec-Fetch-Site %p and Origin %p are of another origin: %p', (site, origin, crossSite) => {
  expect(isCrossSite({ site, origin, host: 'localhost:5000' }, ['https://app.example'])).toBe(crossSite);
});

test('a star allows every origin', () => {
  expect(isCrossSite({ site: 'cross-site', origin: undefined, host: 'x' }, ['*'])).toBe(false);
});
