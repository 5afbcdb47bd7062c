import fc from 'fast-check';
import { contains, parseCidr, type Cidr } from '../../../src/config/cidr';
import { CLOSED, ruleFields, type NetworkRules } from '../../../src/helper/network';
import { Pool } from '../../../src/helper/protocol';
import { installNetwork, lambdaNetwork, type SessionSettings } from '../../../src/helper/session';

/** As the helper's map decides: the longest matching prefix counts, of two equal ones the last. */
function passes(rules: NetworkRules, address: string): boolean {
  let best = { bits: -1, passes: true };
  for (const { arg = [] } of ruleFields(Pool.LAMBDA, rules)) {
    const cidr: Cidr = { words: arg.slice(2, 6), bits: arg[6] ?? NaN };
    if (contains(cidr, parseCidr(address)) && cidr.bits >= best.bits) best = { bits: cidr.bits, passes: arg[0] === 1 };
  }
  return best.passes;
}

const none: NetworkRules = { deny: [], allow: [] };

test.each([
  ['169.254.169.254', false], ['169.254.0.1', false], ['fe80::1', false], ['fd00:ec2::254', false],
  ['100.100.100.200', false], ['100.100.100.201', true], ['10.0.0.1', true], ['fd00::1', true], ['2001:db8::1', true],
] as const)('by default %s passes: %s', (address, expected) => {
  expect(passes(none, address)).toBe(expected);
}); // prettier-ignore

test("an operator's prefix overrides a default of at most its length; deny overrides allow", () => {
  expect(passes({ deny: [], allow: ['169.254.0.0/16'] }, '169.254.169.254')).toBe(true);
  expect(passes({ deny: ['169.254.0.0/16'], allow: ['169.254.0.0/16'] }, '169.254.169.254')).toBe(false);
  expect(passes({ deny: ['10.0.0.0/8'], allow: ['10.1.0.0/16'] }, '10.1.2.3')).toBe(true);
  expect(passes({ deny: ['10.0.0.0/8'], allow: ['10.1.0.0/16'] }, '10.2.2.3')).toBe(false);
});

test('a rule for all of IPv6 does not affect IPv4, and vice versa', () => {
  expect(passes({ deny: ['::/0'], allow: [] }, '8.8.8.8')).toBe(true);
  expect(passes({ deny: ['::/0'], allow: [] }, '2001:db8::1')).toBe(false);
  expect(passes({ deny: ['0.0.0.0/0'], allow: [] }, '8.8.8.8')).toBe(false);
  expect(passes({ deny: ['0.0.0.0/0'], allow: [] }, '2001:db8::1')).toBe(true);
});

test('an allow list with only one network refuses every other address', () => {
  const rules = { deny: ['0.0.0.0/0', '::/0'], allow: ['10.5.0.0/16'] };
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (address) => {
      expect(passes(rules, address)).toBe(contains(parseCidr('10.5.0.0/16'), parseCidr(address)));
    }),
  );
});

test('a name server at a link-local IPv6 address stays reachable', () => {
  const rules = { ...none, nameservers: ['fe80::1%eth0', '127.0.0.53'] };
  expect([passes(rules, 'fe80::1'), passes(rules, 'fe80::2')]).toEqual([true, false]);
});

test('rules are sent only for pools with network outbound', () => {
  const settings: SessionSettings = {
    workerDir: '/w', packagesDir: '/p', baseDir: '/b', cgroupName: 'x-sandboxes', hostUsr: true, seccomp: true,
    network: 'none', installerEndpoints: [], rules: { deny: ['10.0.0.0/8'], allow: [] },
  }; // prettier-ignore
  expect(lambdaNetwork(settings).rules).toEqual([]);
  expect(installNetwork(settings).rules).toHaveLength(CLOSED.length + 2);
  expect(installNetwork({ ...settings, network: 'host' }).rules).toEqual([]);
});
