/** The life of slots in a helper with AddressSanitizer and UndefinedBehaviorSanitizer. Any report ends the helper. */
import { Area, Code, Pool, Role, Verb } from '../../../src/helper/protocol';
import { buildHelper } from '../../support/helper/build';
import { Fixture } from '../../support/helper/fixture';
import { RawHelper, requestBytes } from '../../support/helper/raw';
import { describePrivileged } from '../../support/privileged';

jest.setTimeout(120_000);

describePrivileged(
  'the sanitized helper',
  () => {
    it('runs all tests without a report', async () => {
      const fixture = new Fixture({ below: '/dev/shm' });
      fixture.write({ 'worker/code/1/f.py': 'def f(e): return e\n', 'packages/s/files/a/b': '' });
      const flags = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all'];
      const binary = buildHelper('sandbox-helper-asan', flags, 'clang');
      // A process that nobody may trace cannot be searched for leaks. AG_DIAG counts the open descriptors.
      const helper = new RawHelper(fixture, { binary, env: { ASAN_OPTIONS: 'detect_leaks=0' } });
      await helper.greet();
      const before = (await helper.diag()).value;
      await helper.zygote(1);
      for (let round = 0; round < 8; round++) {
        await helper.slot(2);
        await helper.slot(3);
        const forked = helper.invoke(2, round);
        expect(await helper.call('FORK', { slot: 2, source: 1, role: Role.LEAF, name: ['1'] })).toMatchObject({
          code: 0,
        });
        expect(await forked).toBe(String(round));
        const fresh = helper.invoke(3, round);
        expect((await helper.call('SPAWN', { slot: 3, role: Role.LEAF, flags: 1 })).code).toBe(Code.OK);
        expect((await helper.call('GO', { slot: 3, name: ['1'] })).code).toBe(Code.OK);
        expect(await fresh).toBe(String(round));
        for (const verb of ['PAUSE', 'USAGE', 'RESUME', 'LIMITS', 'KILL'] as const)
          expect((await helper.call(verb, { slot: 3, flags: 2 })).code).toBe(Code.OK);
        for (const slot of [2, 3]) expect((await helper.call('DESTROY', { slot })).code).toBe(Code.OK);
      }
      await helper.slot(4, Pool.INSTALL);
      expect((await helper.call('SPAWN', { slot: 4, role: Role.INSTALLER, name: ['', 's'] })).code).toBe(Code.OK);
      expect((await helper.call('DESTROY', { slot: 4 })).code).toBe(Code.OK);
      expect((await helper.call('REMOVE', { arg: [Area.PACKAGES], name: ['s'] })).code).toBe(Code.OK);
      for (let size = 1; size < 1500; size += 7) {
        helper.send(requestBytes(Verb.DIAG, 1).subarray(0, size));
        if (size % 20 === 1) await helper.diag(); // so that the socket never fills up, however slow the helper is
      }
      expect((await helper.call('DESTROY', { slot: 1 })).code).toBe(Code.OK);
      expect((await helper.diag()).value).toEqual(before);
      expect(await helper.close()).toEqual({ code: 0, signal: null, stderr: '' });
      expect(fixture.cgroups()).toEqual([]);
      fixture.remove();
    });
  },
  ['clang'],
);
