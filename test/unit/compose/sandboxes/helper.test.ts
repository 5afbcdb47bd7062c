import fc from 'fast-check';
import { cgroupNames, installerEndpoints, dnsEndpoints, nameservers } from '../../../../src/compose/sandboxes/helper';

describe('cgroupNames', () => {
  test("are the contract's name, then a name that no other directory has", () => {
    const [first, second] = cgroupNames('/srv/default-ol/worker');
    expect(first).toBe('default-ol-sandboxes');
    expect(second).toMatch(/^default-ol-[0-9a-f]{8}-sandboxes$/);
    expect(cgroupNames('/tmp/default-ol/worker')[1]).not.toBe(second);
  });

  test('of the second place of a directory differ, with and without a base', () => {
    const names = ['python3.13', undefined].flatMap((base) =>
      [false, true].flatMap((second) => cgroupNames('/srv/default-ol/worker', base, second)),
    );
    expect(new Set(names).size).toBe(5);
    for (const name of names) expect(name).toMatch(/^default-ol(-[\w.-]+)?-sandboxes$/);
  });

  test('are accepted by the helper for any directory', () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        for (const cgroup of cgroupNames(`/x/${name}/worker`)) expect(cgroup).toMatch(/^[\w.-]{1,90}-sandboxes$/);
      }),
    );
  });
});

test('installers reach the name servers and the package sources with an IPv4 address', () => {
  const resolv = 'nameserver 127.0.0.53\nnameserver 10.0.0.1\n# nameserver 127.9.9.9\n';
  const sources = ['http://localhost:3141/simple', 'https://127.0.0.2/simple', 'https://pypi.example/simple'];
  expect(
    installerEndpoints(
      resolv,
      sources.map((url) => new URL(url)),
    ),
  ).toEqual([
    { host: '127.0.0.53', port: 53 },
    { host: '10.0.0.1', port: 53 },
    { host: '127.0.0.1', port: 3141 },
    { host: '127.0.0.2', port: 443 },
  ]);
});

describe('nameservers', () => {
  it("returns the host's DNS servers on loopback, which sandboxes may then use", () => {
    const text = 'nameserver 127.0.0.53\nnameserver 169.254.169.254\nnameserver fe80::1%eth0\n# nameserver 1.1.1.1\n';
    expect(nameservers(text)).toEqual(['127.0.0.53', '169.254.169.254', 'fe80::1%eth0']);
    expect(dnsEndpoints(text)).toEqual([
      { host: '127.0.0.53', port: 53 },
      { host: '169.254.169.254', port: 53 },
    ]);
  });
});
