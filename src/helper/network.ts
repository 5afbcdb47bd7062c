/** Which prefixes sandboxes with network `outbound` reach, as fields of AG_RULE. Pure. */
import { isIPv6 } from 'node:net';
import { parseCidr } from '../config/cidr';
import type { RequestFields } from './protocol';

/**
 * POLICY: refused unless `argyle.network_allow` names them. Link-local, since no service of a function's is there but
 * clouds' credentials are, and the metadata services that have other addresses: EC2 over IPv6, Alibaba Cloud, Azure's
 * wire server, Oracle Cloud's first generation.
 */
export const CLOSED: readonly string[] = [
  '169.254.0.0/16',
  'fe80::/10',
  'fd00:ec2::254/128',
  '100.100.100.200/32',
  '168.63.129.16/32',
  '192.0.0.192/32',
];

/** IPv4 passes unless a rule of its own says otherwise, so that `::/0` means IPv6 alone. */
const ALL_IPV4 = '0.0.0.0/0';

export interface NetworkRules {
  /** `argyle.network_deny` and `argyle.network_allow`: prefixes that parseCidr() takes. */
  deny: readonly string[];
  allow: readonly string[];
  /** Name servers of the sandboxes' base; those with an IPv6 address pass, all ports of them. */
  nameservers?: readonly string[];
}

/**
 * The rules of a pool in their order: the longest prefix wins, of two equal ones the later. So an operator's deny is
 * stronger than an allow of the same prefix, and both are stronger than what is closed by default.
 * @throws RangeError for a prefix that is none
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
