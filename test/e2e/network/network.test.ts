/**
 * Access that each network setting allows or refuses, in every kind of guest, over IPv4, IPv6 and unix sockets. The
 * three settings are controls for each other: each access that one refuses is allowed by another, to the same guest on
 * the same network.
 */
import { Network } from '../../../src/helper/protocol';
import { describePrivileged } from '../../support/privileged';
import { NetworkRig, World, type Outcomes } from './rig';

jest.setTimeout(180_000);

const WAYS = ['TCP to', 'UDP to', 'UDP connected to'];
const HOST = [
  'loopback', 'loopback, another', 'unspecified', 'host', 'loopback6', 'unspecified6', 'host6', 'host6 link-local',
  'loopback as IPv6', 'host as IPv6',
]; // prettier-ignore
const PEER = ['peer', 'peer6', 'peer as IPv6'];

const each = (names: readonly string[], outcome: string): Outcomes =>
  Object.fromEntries(
    names
      .flatMap((name) => WAYS.map((way) => `${way} ${name}`))
      .filter((probe) => probe !== 'UDP connected to loopback, another')
      .map((probe) => [probe, outcome]),
  );

/** Addresses of another family than the socket's, and addresses of all hosts of a link. */
const TRICKS = [
  'UDP by no family', 'UDP by IPv4 on IPv6', 'UDP connected by IPv4 on IPv6', 'UDP to anycast6', 'multicast', 'multicast6',
  'broadcast',
]; // prettier-ignore
const many = (names: readonly string[], outcome: string): Outcomes =>
  Object.fromEntries(names.map((name) => [name, outcome]));

const ALWAYS: Outcomes = { 'stream pair': 'ok', 'seqpacket pair': 'ok' };
const NO_UNIX: Outcomes = {
  'abstract socket': 'EAFNOSUPPORT',
  'abstract name': 'EAFNOSUPPORT',
  // A datagram socket pair could reach abstract sockets.
  'abstract datagram': 'EPROTONOSUPPORT',
  'abstract datagram, connected': 'EPROTONOSUPPORT',
  'datagram pair': 'EPROTONOSUPPORT',
};

const EXPECTED: Record<keyof typeof Network, Outcomes> = {
  OUTBOUND: {
    ...ALWAYS,
    ...NO_UNIX,
    ...each(HOST, 'EPERM'),
    ...each(PEER, 'ok'),
    ...many(TRICKS, 'EPERM'),
    'bind to any port': 'ok',
    'bind to a chosen port': 'EPERM',
    listen: 'EPERM',
    netlink: 'EAFNOSUPPORT',
    raw: 'EPROTONOSUPPORT',
    packet: 'EAFNOSUPPORT',
  },
  NONE: {
    ...ALWAYS,
    ...NO_UNIX,
    ...each([...HOST, ...PEER], 'EAFNOSUPPORT'),
    ...many(TRICKS, 'EAFNOSUPPORT'),
    'bind to any port': 'EAFNOSUPPORT',
    'bind to a chosen port': 'EAFNOSUPPORT',
    listen: 'EAFNOSUPPORT',
    netlink: 'EAFNOSUPPORT',
    raw: 'EPROTONOSUPPORT',
    packet: 'EAFNOSUPPORT',
  },
  HOST: {
    ...ALWAYS,
    ...each([...HOST, ...PEER], 'ok'),
    ...many(TRICKS, 'ok'),
    'bind to any port': 'ok',
    'bind to a chosen port': 'ok',
    listen: 'ok',
    'abstract socket': 'ok',
    'abstract datagram': 'ok',
    'abstract datagram, connected': 'ok',
    'abstract name': 'ok',
    'datagram pair': 'ok',
    netlink: 'ok',
    // These need a capability on the host. No setting gives this capability.
    raw: 'EPERM',
    packet: 'EAFNOSUPPORT',
  },
};

describePrivileged(
  'network',
  () => {
    const world = new World();
    beforeAll(() => world.begin());
    afterAll(() => world.end());

    describe.each(Object.keys(EXPECTED) as (keyof typeof EXPECTED)[])('%s', (mode) => {
      let rig: NetworkRig;
      beforeAll(async () => {
        rig = new NetworkRig(world.place);
        await rig.begin(Network[mode]);
      });
      afterAll(() => rig.end());

      it.each([
        ['fresh leaf', () => rig.leaf(false)],
        ['forked leaf', () => rig.leaf(true)],
        ['zygote', () => rig.zygote()],
        ['installer', () => rig.installer()],
      ])('applies as configured, for a %s', async (_position, probe) => {
        expect(await probe()).toEqual(EXPECTED[mode]);
      });
    });

    it('outbound opens only the endpoints that the worker names', async () => {
      const rig = new NetworkRig(world.place);
      try {
        const endpoint = 0x7f000001 * 2 ** 16 + Number(world.place['port']);
        await rig.begin(Network.OUTBOUND, [endpoint]);
        const named = {
          ...each(['loopback', 'loopback as IPv6'], 'ok'),
          ...many(['UDP by no family', 'UDP by IPv4 on IPv6', 'UDP connected by IPv4 on IPv6'], 'ok'),
        };
        for (const outcomes of [await rig.leaf(true), await rig.installer()])
          expect(outcomes).toEqual({ ...EXPECTED.OUTBOUND, ...named });
        // The list does not name another port of the same address.
        const elsewhere = { ...world.place, port: Number(world.place['free_port']) };
        const other = new NetworkRig(elsewhere);
        try {
          await other.begin(Network.OUTBOUND, [endpoint]);
          expect(await other.leaf(false)).toMatchObject(each(HOST, 'EPERM'));
        } finally {
          await other.end();
        }
      } finally {
        await rig.end();
      }
    });
  },
  ['ip', 'nsenter'],
);
