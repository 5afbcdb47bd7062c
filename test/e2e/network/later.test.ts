/**
 * Access that network `outbound` refuses although no list of addresses can name it: addresses and `local` routes that
 * are added after the helper's start, and ways to leave by another address than the named one. The tests also cover the
 * two lists and their defaults, with addresses of the peer. Network `host` is the control: there, each probe gets its
 * answer.
 */
import type { NetworkRules } from '../../../src/helper/network';
import { Network } from '../../../src/helper/protocol';
import { describePrivileged } from '../../support/privileged';
import { NetworkRig, World, type Outcomes } from './rig';

jest.setTimeout(120_000);

const V4 = 2;
const V6 = 10;
/** Addresses that the host gets once all helpers run. The peer answers at the addresses of the second list. */
const HOST = [
  'address add 10.88.0.1/24 broadcast 10.88.0.255 dev cable0', 'address add 10.89.0.1/32 dev lo',
  'route add local 10.90.0.0/24 dev lo', '-6 address add fd88::1/64 dev cable0 nodad',
  '-6 address add fe80::8:1/64 dev cable0 nodad', '-6 route add local fd90::/64 dev lo',
  'address add 169.254.1.1/16 dev cable0', 'route add 100.100.100.200/32 dev cable0',
  '-6 address add fd00:ec2::1/64 dev cable0 nodad',
]; // prettier-ignore
const PEER = [
  'address add 169.254.169.254/16 dev cable1', 'address add 169.254.7.7/16 dev cable1',
  'address add 100.100.100.200/32 dev cable1', '-6 address add fd00:ec2::254/64 dev cable1 nodad',
  'address add 10.99.0.3/24 dev cable1', '-6 address add fd99::3/64 dev cable1 nodad',
]; // prettier-ignore

const LATER: [string, number, string][] = [
  ['a later address', V4, '10.88.0.1'], ['a later address of lo', V4, '10.89.0.1'],
  ['a local route', V4, '10.90.0.77'], ['a later address as IPv6', V6, '::ffff:10.88.0.1'],
  ['a local route as IPv6', V6, '::ffff:10.90.0.77'], ['a later address6', V6, 'fd88::1'],
  ['a local route6', V6, 'fd90::77'],
]; // prettier-ignore
const METADATA: [string, number, string][] = [
  ['metadata', V4, '169.254.169.254'], ['metadata as IPv6', V6, '::ffff:169.254.169.254'],
  ['metadata6', V6, 'fd00:ec2::254'], ['another metadata', V4, '100.100.100.200'], ['link-local', V4, '169.254.7.7'],
]; // prettier-ignore
const LINK_LOCAL6: [string, number, string][] = [['link-local6', V6, 'fe80::9:2']];
const LAN: [string, number, string][] = [
  ['LAN', V4, '10.99.0.2'], ['LAN6', V6, 'fd99::2'], ['LAN, another', V4, '10.99.0.3'],
  ['LAN6, another', V6, 'fd99::3'], ['LAN, another, as IPv6', V6, '::ffff:10.99.0.3'],
]; // prettier-ignore

const ways = (names: readonly [string, number, string][], tcp: string, udp = tcp): Outcomes =>
  Object.fromEntries(
    names.flatMap(([name]) => [
      [`TCP to ${name}`, tcp],
      [`UDP to ${name}`, udp],
      [`UDP connected to ${name}`, udp],
    ]),
  );

/** The kernel repeats a dropped SYN, so connect() waits. A dropped datagram is an error at once. */
const OUTBOUND: Outcomes = {
  ...ways(LATER, 'no answer', 'EPERM'),
  ...ways([...METADATA, ...LINK_LOCAL6], 'EPERM'),
  ...ways(LAN, 'ok'),
  'fast open': 'no answer',
  'sendmsg by device': 'EPERM',
  'UDP bound to the device': 'EPERM',
  'record route': 'EPERM',
  'routing header': 'EPERM',
};
const EVERYTHING = Object.fromEntries(Object.keys(OUTBOUND).map((name) => [name, 'ok']));
const LISTS: NetworkRules = { deny: ['10.99.0.3/32', 'fd99::/64'], allow: ['169.254.7.0/24', 'fe80::/10', 'fd99::2'] };

const RESOLVER = 'outbound with a link-local resolver';
const CASES: [string, number, NetworkRules | undefined, Outcomes][] = [
  ['outbound', Network.OUTBOUND, { deny: [], allow: [] }, OUTBOUND],
  ['outbound with lists', Network.OUTBOUND, LISTS, {
    ...OUTBOUND,
    ...ways(LAN.slice(2), 'EPERM'),
    ...ways([...METADATA.slice(4), ...LINK_LOCAL6], 'ok'),
  }],
  // The name server of some clouds has the address of the metadata service.
  [RESOLVER, Network.OUTBOUND, { deny: [], allow: [] }, { ...OUTBOUND, ...ways(METADATA.slice(0, 2), 'ok') }],
  ['host', Network.HOST, undefined, EVERYTHING],
]; // prettier-ignore

describePrivileged(
  'network, later',
  () => {
    const world = new World();
    const rigs = new Map<string, NetworkRig>();
    beforeAll(async () => {
      await world.begin();
      const { place } = world;
      const targets = (list: typeof LATER, port: unknown) =>
        list.map(([name, family, address]) => {
          const scope = address.startsWith('fe80') ? [0, place['device']] : [];
          return [name, family, [address, port, ...scope]];
        });
      place['targets'] = [
        ...targets(LATER, place['port']),
        ...targets([...METADATA, ...LINK_LOCAL6, ...LAN], place['peer_port']),
      ];
      place['later'] = '10.88.0.1';
      for (const [name, mode, rules] of CASES) {
        const rig = new NetworkRig(place, 'later.py');
        rigs.set(name, rig);
        await rig.begin(mode, name === RESOLVER ? [0xa9fea9fe * 2 ** 16 + Number(place['peer_port'])] : [], rules);
      }
      for (const words of HOST) world.ip(words);
      for (const words of PEER) world.ip(words, 'peer_pid');
    });
    afterAll(async () => {
      for (const rig of rigs.values()) await rig.end();
      world.end();
    });

    describe.each(CASES)('%s', (name, _mode, _rules, expected) => {
      it.each([
        ['fresh leaf', (rig: NetworkRig) => rig.leaf(false)],
        ['forked leaf', (rig: NetworkRig) => rig.leaf(true)],
        ['installer', (rig: NetworkRig) => rig.installer()],
      ])('gives the expected results for a %s', async (_position, probe) => {
        expect(await probe(rigs.get(name) as NetworkRig)).toEqual(expected);
      });
    });
  },
  ['ip', 'nsenter'],
);
