/** Network prefixes such as `10.0.0.0/8` and `fd00::/8`. Pure. */
import { isIPv4, isIPv6 } from 'node:net';

/** Prefixes in one list; the helper's map holds far more. */
export const MAX_CIDRS = 256;

/** A prefix of IPv6 addresses; an IPv4 prefix lies below ::ffff:0:0/96. */
export interface Cidr {
  /** Four words of 32 bits, most significant first; bits beyond the prefix are 0. */
  words: readonly number[];
  /** Length of the prefix, from 0 to 128. */
  bits: number;
}

const IPV4_BITS = 96;

/** The eight groups of an address; Node's URL parser writes it in its one canonical form, without dots. */
function groupsOf(address: string): number[] {
  const { hostname } = new URL(`http://[${isIPv4(address) ? `::ffff:${address}` : address}]/`);
  const [head = [], tail = []] = hostname
    .slice(1, -1)
    .split('::')
    .map((part) => (part === '' ? [] : part.split(':').map((group) => parseInt(group, 16))));
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

/** The bits of `word` (of 32) that lie beyond the first `kept` ones. */
const beyond = (word: number, kept: number): number => (kept >= 32 ? 0 : kept <= 0 ? word : word % 2 ** (32 - kept));

/**
 * Reads `ADDRESS` or `ADDRESS/LENGTH`; an address alone is a prefix of one address.
 * @throws RangeError that says what is wrong, for people
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

/** Whether every address of `inner` is one of `outer` too. */
export function contains(outer: Cidr, inner: Cidr): boolean {
  if (inner.bits < outer.bits) return false;
  return outer.words.every((word, i) => {
    const other = inner.words[i] ?? 0;
    const kept = outer.bits - 32 * i;
    return kept <= 0 || word - beyond(word, kept) === other - beyond(other, kept);
  });
}

/** What is this host's own, whatever addresses it has: no list opens it. */
const OWN = ['127.0.0.0/8', '0.0.0.0/8', '::1/128', '::/128', '224.0.0.0/3', 'ff00::/8'].map(parseCidr);

/** What is wrong with an entry of `argyle.network_deny` or, if `opens`, of `argyle.network_allow`; '' when it is good. */
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
