/** Messages that no worker sends. Each is answered, or ends the helper with the right code and stage. */
import fc from 'fast-check';
import { Area, Code, Flag, Network, Pool, REQUEST_BYTES, Role, Stage, Verb } from '../../../src/helper/protocol';
import { Canary } from '../../support/helper/canary';
import { Fixture } from '../../support/helper/fixture';
import { closeFd } from '../../support/helper/libc';
import { LIMITS, RawHelper, requestBytes } from '../../support/helper/raw';
import { describePrivileged } from '../../support/privileged';

jest.setTimeout(60_000);

const NAME = 96;
const spoil = (bytes: Buffer, change: (bytes: Buffer) => void): Buffer => {
  change(bytes);
  return bytes;
};
const diag = (seq = 1): Buffer => requestBytes(Verb.DIAG, seq);

/** Malformed messages, each with the code of its answer. An answer has seq 0 when the helper could not read a seq. */
const MALFORMED: [string, () => Buffer, number, number][] = [
  ['a byte', () => diag().subarray(0, 1), 0, Code.BADREQ],
  ['less than a header', () => diag().subarray(0, 15), 0, Code.BADREQ],
  ['a header alone', () => diag().subarray(0, 32), 1, Code.BADREQ],
  ['a byte too few', () => diag().subarray(0, REQUEST_BYTES - 1), 1, Code.BADREQ],
  ['a byte too many', () => Buffer.concat([diag(), Buffer.alloc(1)]), 1, Code.BADREQ],
  ['64 KiB', () => Buffer.concat([diag(), Buffer.alloc(65536 - REQUEST_BYTES)]), 1, Code.BADREQ],
  ['another magic', () => spoil(diag(), (b) => b.writeUInt32LE(0x41524758, 0)), 1, Code.BADREQ],
  ['the magic of the other byte order', () => spoil(diag(), (b) => b.writeUInt32BE(0x41524759, 0)), 1, Code.BADREQ],
  ['version 0', () => spoil(diag(), (b) => b.writeUInt16LE(0, 4)), 1, Code.VERSION],
  ['version 2', () => spoil(diag(), (b) => b.writeUInt16LE(2, 4)), 1, Code.VERSION],
  ['version 65535', () => spoil(diag(), (b) => b.writeUInt16LE(65535, 4)), 1, Code.VERSION],
  ['verb 0', () => requestBytes(0, 1), 1, Code.BADREQ],
  ['verb 17', () => requestBytes(17, 1), 1, Code.BADREQ],
  ['verb 65535', () => requestBytes(65535, 1), 1, Code.BADREQ],
  ['seq 0', () => diag(0), 0, Code.BADREQ],
  ...[0, 1, 2, 3].map((n): [string, () => Buffer, number, number] => [
    `name ${n} without its end`,
    () => spoil(diag(), (b) => b.fill(0x61, NAME + 256 * n, NAME + 256 * (n + 1))),
    1,
    Code.BADREQ,
  ]),
];

describePrivileged('the protocol', () => {
  let fixture: Fixture;
  let helper: RawHelper;
  let canary: Canary;

  beforeEach(() => {
    fixture = new Fixture({ below: '/dev/shm' });
    fixture.write({ 'worker/code/1/f.py': 'def f(e): return e\n', 'packages/p/files/x': '' });
    canary = new Canary();
    helper = new RawHelper(fixture);
  });

  afterEach(async () => {
    await helper.close();
    canary.verify(fixture);
  });

  describe('before HELLO', () => {
    it.each(MALFORMED)('%s is answered and ends the helper', async (_name, make, seq, code) => {
      const reply = helper.reply(seq);
      helper.send(make());
      expect(await reply).toMatchObject({ code, stage: Stage.HELLO });
      expect(await helper.ended).toMatchObject({ code: Stage.HELLO });
    });

    it.each(Object.keys(Verb).filter((verb) => verb !== 'HELLO') as (keyof typeof Verb)[])(
      '%s is out of order',
      async (verb) => {
        expect(await helper.call(verb, { slot: 1 })).toMatchObject({ code: Code.STATE, stage: Stage.HELLO });
        expect((await helper.hello()).code).toBe(Code.OK);
      },
    );

    it.each<[string, object, number, number]>([
      ['a root that is not configured', { arg: [1, 0, 0] }, Code.DENIED, Stage.ROOTS],
      ['a root number that is huge', { arg: [0, Number.MAX_SAFE_INTEGER, 0] }, Code.DENIED, Stage.ROOTS],
      [
        'a cgroup name without its suffix',
        { name: ['worker', 'packages', 'base', 'system.slice'] },
        Code.BADREQ,
        Stage.CGROUP,
      ],
      [
        'a cgroup name with a slash',
        { name: ['worker', 'packages', 'base', 'a/b-sandboxes'] },
        Code.BADREQ,
        Stage.CGROUP,
      ],
      ['a cgroup name of dots', { name: ['worker', 'packages', 'base', '../x-sandboxes'] }, Code.BADREQ, Stage.CGROUP],
      [
        'a cgroup name that is only the suffix',
        { name: ['worker', 'packages', 'base', '-sandboxes'] },
        Code.BADREQ,
        Stage.CGROUP,
      ],
      [
        'a cgroup name with a newline',
        { name: ['worker', 'packages', 'base', 'a\nb-sandboxes'] },
        Code.BADREQ,
        Stage.CGROUP,
      ],
      ['no names', { name: [] }, Code.BADREQ, Stage.CGROUP],
      ['a missing directory', { name: ['nothing', 'packages', 'base', 'x-sandboxes'] }, Code.NOENT, Stage.ROOTS],
      ['..', { name: ['..', 'packages', 'base', 'x-sandboxes'] }, Code.DENIED, Stage.ROOTS],
      [
        'a path that leaves its root',
        { name: ['worker/../../etc', 'packages', 'base', 'x-sandboxes'] },
        Code.DENIED,
        Stage.ROOTS,
      ],
      ['an absolute path', { name: ['/etc', 'packages', 'base', 'x-sandboxes'] }, Code.DENIED, Stage.ROOTS],
    ])('HELLO with %s ends the helper', async (_name, fields, code, stage) => {
      expect(await helper.hello(fields)).toMatchObject({ code, stage });
      expect(await helper.ended).toMatchObject({ code: stage });
    });
  });

  describe('before NETWORK', () => {
    beforeEach(() => helper.hello());

    it.each<[string, number[]]>([
      ['verdict 2', [2, 1, 0, 0, 0, 0, 0]],
      ['verdict 2^32+1, which is 1 to an int', [2 ** 32 + 1, 1, 0, 0, 0, 0, 0]],
      ['pool 0', [1, 0, 0, 0, 0, 0, 0]],
      ['pool 3', [1, 3, 0, 0, 0, 0, 0]],
      ['129 bits', [1, 1, 0, 0, 0, 0, 129]],
      ['2^32 bits', [1, 1, 0, 0, 0, 0, 2 ** 32]],
      ['a first word of 33 bits', [1, 1, 2 ** 32, 0, 0, 0, 8]],
      ['a last word of 53 bits', [1, 1, 0, 0, 0, Number.MAX_SAFE_INTEGER, 8]],
    ])('a rule with %s is refused', async (_name, arg) => {
      expect(await helper.call('RULE', { arg })).toMatchObject({ code: Code.BADREQ, stage: Stage.NETWORK });
    });

    it('rules up to the size of the map are accepted and applied', async () => {
      const codes = [];
      for (let word = 0; word <= 4096; word++)
        codes.push((await helper.call('RULE', { arg: [0, Pool.LAMBDA, 0, 0, 0xffff, word, 128] })).code);
      expect(codes).toEqual([...Array<number>(4096).fill(Code.OK), Code.SYS]);
      // The host's own addresses fill the table. The sandbox then gets no network, so it is not made.
      const network = { arg: [Network.OUTBOUND, Pool.LAMBDA] };
      expect(await helper.call('NETWORK', network)).toMatchObject({ code: Code.SYS, stage: Stage.NETWORK });
      expect((await helper.slot(1)).code).toBe(Code.STATE);
      expect((await helper.call('NETWORK', { arg: [Network.OUTBOUND, Pool.INSTALL] })).code).toBe(Code.OK);
    });

    it('endpoints of more than 48 bits are refused', async () => {
      const arg = [Network.OUTBOUND, Pool.LAMBDA, 2 ** 48];
      expect(await helper.call('NETWORK', { arg })).toMatchObject({ code: Code.BADREQ, stage: Stage.NETWORK });
    });
  });

  describe('after HELLO', () => {
    beforeEach(() => helper.greet());

    it.each(MALFORMED)('%s is answered, and the session continues', async (_name, make, seq, code) => {
      const answer = seq === 0 ? undefined : helper.reply(seq);
      const events = helper.events.length;
      helper.send(make());
      while (seq === 0 && helper.events.length === events) await new Promise((resolve) => setTimeout(resolve, 5));
      expect(answer === undefined ? helper.events.at(-1) : await answer).toMatchObject({ code });
      expect((await helper.diag()).code).toBe(Code.OK);
    });

    it('a second HELLO, a replayed NETWORK and a late RULE are refused', async () => {
      expect(await helper.hello()).toMatchObject({ code: Code.STATE, stage: Stage.HELLO });
      for (const pool of [Pool.LAMBDA, Pool.INSTALL])
        for (const [verb, arg] of [
          ['NETWORK', [Network.HOST, pool]],
          ['RULE', [1, pool, 0, 0, 0xffff, 0, 96]],
        ] as const)
          expect(await helper.call(verb, { arg })).toMatchObject({ code: Code.STATE, stage: Stage.NETWORK });
    });

    it('every copy of a replayed request is answered, and only the first has an effect', async () => {
      const { listen, log } = helper.slotFds(1);
      const bytes = requestBytes(Verb.SLOT, 7, { slot: 1, role: Pool.LAMBDA, arg: LIMITS });
      const codes: number[] = [];
      for (let copy = 0; copy < 3; copy++) {
        const reply = helper.reply(7);
        helper.send(bytes, [listen, log]);
        codes.push((await reply).code);
      }
      closeFd(listen);
      closeFd(log);
      expect(codes).toEqual([Code.OK, Code.STATE, Code.STATE]);
      expect((await helper.diag()).value[0]).toBe(1);
    });

    it.each<[string, keyof typeof Verb, object, number]>([
      ['slot 0', 'USAGE', { slot: 0 }, Code.BADREQ],
      ['slot 4097', 'USAGE', { slot: 4097 }, Code.BADREQ],
      ['slot 2^32-1', 'DESTROY', { slot: 0xffffffff }, Code.BADREQ],
      ['a free slot', 'GO', { slot: 5 }, Code.STATE],
      ['pool 0', 'SLOT', { slot: 1, role: 0 }, Code.BADREQ],
      ['pool 3', 'SLOT', { slot: 1, role: 3 }, Code.BADREQ],
      ['pool 2^32-1', 'SLOT', { slot: 1, role: 0xffffffff }, Code.BADREQ],
      ['no descriptors', 'SLOT', { slot: 1, role: 1 }, Code.BADREQ],
      ['network mode 0', 'NETWORK', { arg: [0, 1] }, Code.BADREQ],
      ['network mode 4', 'NETWORK', { arg: [4, 1] }, Code.BADREQ],
      ['network pool 0', 'NETWORK', { arg: [1, 0] }, Code.BADREQ],
      ['network pool 3', 'NETWORK', { arg: [1, 3] }, Code.BADREQ],
      ['network pool 2^53-1', 'NETWORK', { arg: [1, Number.MAX_SAFE_INTEGER] }, Code.BADREQ],
      ['area 0', 'REMOVE', { arg: [0], name: ['p'] }, Code.BADREQ],
      ['area 3', 'REMOVE', { arg: [3], name: ['p'] }, Code.BADREQ],
      ['area 2^32+1, which is 1 to an int', 'REMOVE', { arg: [2 ** 32 + Area.PACKAGES], name: ['p'] }, Code.BADREQ],
      ['a fork from no zygote', 'FORK', { slot: 5, source: 6, role: 1 }, Code.STATE],
    ])('%s is refused', async (_name, verb, fields, code) => {
      expect((await helper.call(verb, fields)).code).toBe(code);
      expect((await helper.diag()).value[0]).toBe(0);
    });

    it.each([0, 4, 255, 0xffffffff])('SPAWN and FORK refuse role %i', async (role) => {
      await helper.slot(1);
      expect((await helper.call('SPAWN', { slot: 1, role })).code).toBe(Code.BADREQ);
      expect((await helper.call('FORK', { slot: 1, source: 1, role })).code).toBe(Code.BADREQ);
    });

    it('roles stay in their pools', async () => {
      await helper.slot(1);
      await helper.slot(2, Pool.INSTALL);
      expect((await helper.call('SPAWN', { slot: 1, role: Role.INSTALLER, name: ['', 'p'] })).code).toBe(Code.BADREQ);
      expect((await helper.call('SPAWN', { slot: 2, role: Role.LEAF, name: ['1'] })).code).toBe(Code.BADREQ);
      expect((await helper.call('SPAWN', { slot: 2, role: Role.ZYGOTE })).code).toBe(Code.BADREQ);
      expect((await helper.call('FORK', { slot: 2, source: 1, role: Role.LEAF })).code).toBe(Code.BADREQ);
    });

    it('a scratch size above the maximum is refused', async () => {
      expect((await helper.slot(1, Pool.LAMBDA, [...LIMITS.slice(0, 4), 2 ** 40])).code).toBe(Code.BADREQ);
    });

    it('the helper answers 10,000 random messages and continues to serve', async () => {
      await helper.slot(1);
      const before = (await helper.diag()).value;
      const field = fc.oneof(fc.nat(6), fc.nat(0xffffffff));
      const name = fc.oneof(
        fc.constantFrom('', '..', '.', '/', '1', 'p', 'a/b', '../..', 'x-sandboxes'),
        fc.string({ maxLength: 60 }),
      );
      const message = fc.record({
        // Meaningful SLOT, SPAWN and FORK requests are left out. They would make the rest of each session differ.
        verb: fc.constantFrom(0, 1, 2, 5, 6, 7, 8, 11, 14, 15, 200, 65535),
        slot: fc.oneof(fc.nat(3), fc.nat(0xffffffff)),
        source: field,
        role: field,
        flags: field.filter((flags) => (flags & Flag.NO_SECCOMP) === 0),
        arg: fc.array(fc.nat(), { maxLength: 8 }),
        name: fc.array(
          name.filter((text) => !text.includes('\0')),
          { maxLength: 4 },
        ),
        noise: fc.array(fc.tuple(fc.nat(REQUEST_BYTES - 1), fc.nat(255)), { maxLength: 4 }),
        size: fc.oneof(
          { weight: 9, arbitrary: fc.constant(REQUEST_BYTES) },
          { weight: 1, arbitrary: fc.nat(REQUEST_BYTES) },
        ),
      });
      let sent = 0;
      for (const one of fc.sample(message, { numRuns: 10_000, seed: 1 })) {
        const bytes = requestBytes(one.verb, 1_000_000 + sent, one);
        for (const [at, value] of one.noise) if (at < 4 || at > 15) bytes[at] = value;
        if (bytes.readUInt16LE(6) !== one.verb) bytes.writeUInt16LE(one.verb, 6);
        while (!helper.send(bytes.subarray(0, Math.max(one.size, 1))))
          await new Promise((resolve) => setTimeout(resolve, 1));
        if (++sent % 200 === 0) await helper.diag();
      }
      const after = await helper.diag();
      expect(after.code).toBe(Code.OK);
      expect(after.value).toEqual(before);
      expect(helper.events.length).toBe(sent);
      const answer = helper.invoke(1, 'still here');
      expect((await helper.call('SPAWN', { slot: 1, role: Role.LEAF, name: ['1'] })).code).toBe(Code.OK);
      expect(await answer).toBe('"still here"');
    });
  });
});
