import { BlockList } from 'node:net';
import fc from 'fast-check';
import { defaultConfig, examine } from '../../../src/config';
import { cidrFault, contains, MAX_CIDRS, parseCidr } from '../../../src/config/cidr';

const family = (address: string): 'ipv4' | 'ipv6' => (address.includes(':') ? 'ipv6' : 'ipv4');

describe('parseCidr', () => {
  test.each([
    ['10.0.0.0/8', [0, 0, 0xffff, 0x0a000000], 104],
    ['255.255.255.255', [0, 0, 0xffff, 0xffffffff], 128],
    ['0.0.0.0/0', [0, 0, 0xffff, 0], 96],
    ['::/0', [0, 0, 0, 0], 0],
    ['fd00:ec2::254', [0xfd000ec2, 0, 0, 0x254], 128],
    ['fe80::/10', [0xfe800000, 0, 0, 0], 10],
    ['::ffff:10.0.0.0/104', [0, 0, 0xffff, 0x0a000000], 104],
  ])('reads %s', (text, words, bits) => {
    expect(parseCidr(text)).toEqual({ words, bits });
  });

  test.each([
    ['', /not an IPv4 or IPv6 prefix/],
    ['localhost/8', /not an IPv4 or IPv6 prefix/],
    ['10.0.0/8', /not an IPv4 or IPv6 prefix/],
    ['010.0.0.0/8', /not an IPv4 or IPv6 prefix/],
    ['0x0a000000/8', /not an IPv4 or IPv6 prefix/],
    ['fe80::1%eth0/128', /not an IPv4 or IPv6 prefix/],
    ['10.0.0.0/', /not an IPv4 or IPv6 prefix/],
    ['10.0.0.0/-1', /not an IPv4 or IPv6 prefix/],
    ['10.0.0.0/8/8', /not an IPv4 or IPv6 prefix/],
    [' 10.0.0.0/8', /not an IPv4 or IPv6 prefix/],
    ['10.0.0.0/33', /longer than 32/],
    ['fd00::/129', /longer than 128/],
    ['10.0.0.1/8', /bits set beyond its prefix of 8/],
    ['fd00::1/64', /bits set beyond its prefix of 64/],
  ])('refuses %j', (text, message) => {
    expect(() => parseCidr(text)).toThrow(message);
  });

  it('agrees with Node about which addresses are in a prefix', () => {
    const prefix = fc.oneof(
      fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 })),
      fc.tuple(fc.ipV6(), fc.integer({ min: 0, max: 128 })),
    );
    fc.assert(
      fc.property(prefix, fc.oneof(fc.ipV4(), fc.ipV6()), ([base, length], other) => {
        let outer;
        try {
          outer = parseCidr(`${base}/${length}`);
        } catch {
          return; // bits beyond the prefix, most of the time
        }
        const list = new BlockList();
        list.addSubnet(base, length, family(base));
        for (const address of [base, other].filter((one) => family(one) === family(base)))
          expect(contains(outer, parseCidr(address))).toBe(list.check(address, family(address)));
      }),
      { numRuns: 2000 },
    );
  });

  it('accepts or refuses any text', () => {
    fc.assert(fc.property(fc.string(), (text) => typeof cidrFault(text, true) === 'string'));
  });
});

describe('lists of prefixes', () => {
  const problems = (argyle: object, more: object = {}) => {
    const base = defaultConfig('/x', 4000);
    const features = { ...base.features, import_cache: '' };
    return examine({ ...base, features, ...more, argyle: { ...base.argyle, ...argyle } }).problems;
  };

  it('may hold IPv4 and IPv6', () => {
    expect(problems({ network_deny: ['10.0.0.0/8', '::/0'], network_allow: ['169.254.169.254'] })).toEqual([]);
  });

  test.each([
    [
      { network_deny: ['10.0.0.0/8', 'ten'] },
      'argyle.network_deny: "ten" is not an IPv4 or IPv6 prefix, such as 10.0.0.0/8 or fd00::/8',
    ],
    [{ network_allow: ['10.1.0.0/8'] }, 'argyle.network_allow: "10.1.0.0/8" has bits set beyond its prefix of 8'],
    [
      { network_allow: ['127.0.0.1'] },
      'argyle.network_allow: "127.0.0.1" is loopback, unspecified or multicast, which only argyle.network "host" reaches',
    ],
    [
      { network_allow: ['::ffff:127.0.0.1'] },
      'argyle.network_allow: "::ffff:127.0.0.1" is loopback, unspecified or multicast, which only argyle.network "host" reaches',
    ],
    [{ network_deny: '10.0.0.0/8' }, 'json: cannot unmarshal string into field argyle.network_deny of type array'],
    [
      { network_deny: ['10.0.0.0/8', 7] },
      'json: cannot unmarshal number 7 into field argyle.network_deny.1 of type string',
    ],
    [
      { network_deny: ['10.0.0.0/8'], network: 'host' },
      'argyle.network_deny must be empty when argyle.network is "host"',
    ],
    [
      { network_deny: Array<string>(MAX_CIDRS + 1).fill('10.0.0.0/8') },
      'argyle.network_deny must hold at most 256 prefixes (current=257)',
    ],
  ])('%j is a problem that names field and value', (argyle, message) => {
    expect(problems(argyle).map((problem) => problem.message)).toEqual([message]);
  });

  it('are refused when another engine makes the network', () => {
    expect(problems({ network_deny: ['10.0.0.0/8'] }, { sandbox: 'docker' }).map(({ field }) => field)).toEqual([
      'argyle.network_deny',
    ]);
  });
});
