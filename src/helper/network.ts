/** Computes which prefixes sandboxes with network `outbound` can reach, as fields of AG_RULE. Pure. */
import { isIPv6 } from 'node:net';
import { parseCidr } from '../config/cidr';
import type { RequestFields } from './protocol';

/**
 * POLICY: these prefixes are refused unless `argyle.network_allow` lists them. Link-local addresses have no services
 * for functions, but clouds serve credentials there. The other entries are metadata services outside the link-local
 * range: EC2 over IPv6, Alibaba Cloud, Azure's wire server, Oracle Cloud's first generation.
 */
export const CLOSED: readonly string[] = [
  '169.254.0.0/16',
  'fe80::/10',
  'fd00:ec2::254/128',
  '100.100.100.200/32',
  '168.63.129.16/32',
  '192.0.0.192/32',
];

/** IPv4 is open unless another rule matches, so `::/0` in the settings affects only IPv6. */
const ALL_IPV4 = '0.0.0.0/0';

export interface NetworkRules {
  /** `argyle.network_deny` and `argyle.network_allow`: prefixes in parseCidr()'s format. */
  deny: readonly string[];
  allow: readonly string[];
  /** Name servers of the sandboxes' base. All ports of those with an IPv6 address are open. */
  nameservers?: readonly string[];
}

/**
 * The rules of a pool in order. The longest prefix wins; of two equal prefixes, the later one wins. So an operator's
 * deny beats an allow of the same prefix, and both beat the defaults.
 * @throws RangeError for an invalid prefix
 */
export function ruleFields(pool: number, { deny, allow, nameservers = [] }: NetworkRules): RequestFields[] {
  const rule = (text: string, passes: number): RequestFields => {
    const { words, bits } = parseCidr(text);
    return { arg: [passes, pool, ...words, bits] };
  };
  const resolvers = nameservers.map((address) => address.replace(/%.*$/, '')).filter((address) => isIPv6(address));
  return [
    rule(ALL_IPV4, 1),
    ...CLOSED.map((text) => rule(text, 0)),
    ...[...resolvers, ...allow].map((text) => rule(text, 1)),
    ...deny.map((text) => rule(text, 0)),
  ];
}
