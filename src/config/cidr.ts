/** Network prefixes such as `10.0.0.0/8` and `fd00::/8`. Pure. */
import { isIPv4, isIPv6 } from 'node:net';

/** Maximum number of prefixes in one list. The helper's map holds far more. */
export const MAX_CIDRS = 256;

/** A prefix of IPv6 addresses. IPv4 prefixes are mapped to ::ffff:0:0/96. */
export interface Cidr {
  /** Four 32-bit words, most significant first. Bits after the prefix are 0. */
  words: readonly number[];
  /** Length of the prefix, 0 to 128 bits. */
  bits: number;
}

const IPV4_BITS = 96;

/** The eight groups of an address. Node's URL parser converts it to the canonical form without dots. */
function groupsOf(address: string): number[] {
  const { hostname } = new URL(`http://[${isIPv4(address) ? `::ffff:${address}` : address}]/`);
  const [head = [], tail = []] = hostname
    .slice(1, -1)
    .split('::')
    .map((part) => (part === '' ? [] : part.split(':').map((group) => parseInt(group, 16))));
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

/** The bits of a 32-bit `word` after the first `kept` bits. */
const beyond = (word: number, kept: number): number => (kept >= 32 ? 0 : kept <= 0 ? word : word % 2 ** (32 - kept));

/**
 * Parses `ADDRESS` or `ADDRESS/LENGTH`. An address alone is a prefix with one address.
 * @throws RangeError with a message for the user
 */
export function parseCidr(text: string): Cidr {
  const [, address = '', length] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  if (!isIPv4(address) && (!isIPv6(address) || address.includes('%')))
    throw new RangeError('is not an IPv4 or IPv6 prefix, such as 10.0.0.0/8 or fd00::/8');
  const [longest, before] = isIPv4(address) ? [32, IPV4_BITS] : [128, 0];
  const given = length === undefined ? longest : Number(length);
  if (given > longest) throw new RangeError(`has a prefix longer than ${longest} bits`);
  const groups = groupsOf(address);
  const words = [0, 2, 4, 6].map((at) => (groups[at] ?? 0) * 65536 + (groups[at + 1] ?? 0));
  const bits = before + given;
  if (words.some((word, i) => beyond(word, bits - 32 * i) !== 0))
    throw new RangeError(`has bits set beyond its prefix of ${given}`);
  return { words, bits };
}

/** Whether `outer` contains every address of `inner`. */
export function contains(outer: Cidr, inner: Cidr): boolean {
  if (inner.bits < outer.bits) return false;
  return outer.words.every((word, i) => {
    const other = inner.words[i] ?? 0;
    const kept = outer.bits - 32 * i;
    return kept <= 0 || word - beyond(word, kept) === other - beyond(other, kept);
  });
}

/** Ranges of this host's own addresses. No list can open them. */
const OWN = ['127.0.0.0/8', '0.0.0.0/8', '::1/128', '::/128', '224.0.0.0/3', 'ff00::/8'].map(parseCidr);

/** The problem of an entry in `argyle.network_deny`, or in `argyle.network_allow` if `opens`; '' for a valid entry. */
export function cidrFault(text: string, opens: boolean): string {
  try {
    const cidr = parseCidr(text);
    if (!opens || !OWN.some((own) => contains(own, cidr))) return '';
    return 'is loopback, unspecified or multicast, which only argyle.network "host" reaches';
  } catch (thrown) {
    if (thrown instanceof RangeError) return thrown.message;
    throw thrown;
  }
}
