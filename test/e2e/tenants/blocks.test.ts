/**
 * A malicious package in a zygote tries to take ids of others: of a zygote beside it, of that zygote's child, of a
 * fresh leaf, and of the zygote above it. It tries this in its own process, and in a new process with all capabilities
 * in a user namespace below the zygote's. With the filter each attempt fails. Without the filter the id map alone
 * refuses. The control: an id of the package's own block can be taken.
 */
import { Code, Flag, Role } from '../../../src/helper/protocol';
import { mapOf, maps, uidOf } from '../../support/helper/ids';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';
import { TenantRig, ZYGOTE } from './rig';

jest.setTimeout(120_000);

/**
 * Slots: the zygote above, the malicious zygote, a zygote beside it, the child of that zygote, a fresh leaf, a function
 * that asked.
 */
const [ROOT, HOSTILE, SIBLING, NEPHEW, FRESH, ASKED] = [2000, 2001, 2002, 2003, 2004, 2005];

type Errors = (string | null)[];

describePrivileged('a malicious zygote', () => {
  describe.each([
    ['behind its filter', Flag.HOST_USR, ['EPERM', 'EPERM']],
    ['with its id map alone', Flag.HOST_USR | Flag.NO_SECCOMP, ['EINVAL', 'EINVAL']],
  ] as const)('%s', (_how, flags, refused) => {
    const rig = new TenantRig('forked');
    let others: Record<string, number>, zygote: Record<string, Errors>, newborn: Record<string, unknown>;
    let block: { first: number; count: number };
    let hostile: number;
    const { helper } = rig;
    const pidOf = async (slot: number): Promise<number> => (await helper.call('USAGE', { slot })).value[7] ?? 0;

    beforeAll(async () => {
      await rig.begin(flags);
      await helper.zygote(ROOT);
      const sibling = await rig.nested(SIBLING, ROOT, 'shared');
      await helper.slot(NEPHEW);
      const nephew = await helper.call('FORK', { slot: NEPHEW, source: SIBLING, role: Role.LEAF, name: ['victim'] });
      await helper.slot(FRESH);
      const fresh = await helper.call('SPAWN', { slot: FRESH, role: Role.LEAF, name: ['victim'] });
      expect([nephew.code, fresh.code]).toEqual([Code.OK, Code.OK]);
      const [root, other] = [await pidOf(ROOT), await pidOf(ZYGOTE)];
      const cousin = await rig.start('victim', { do: 'inspect_modules' });
      others = {
        root: 0,
        'the zygote above': uidOf(root),
        'a zygote beside it': uidOf(sibling),
        'that one’s child': uidOf(nephew.value[0] ?? 0),
        'a fresh leaf': uidOf(fresh.value[0] ?? 0),
        'another fresh zygote': uidOf(other),
        'that one’s leaf': uidOf(cousin.pid),
        'an id of the block above': uidOf(root) + 100,
      };
      // The task may name the ids of its own block only when the zygote runs. It is read again at each fork.
      hostile = await rig.nested(HOSTILE, ROOT, 'hostile', { [TASK]: JSON.stringify({ mode: 'become' }) });
      block = mapOf(hostile)[1] ?? { first: 0, count: 0 };
      Object.assign(others, { 'an id below its block': block.first - 2, 'an id above it': block.first + block.count });
      const task = { mode: 'become', others, block: [block.first, block.first + block.count] };
      rig.fixture.write({ [TASK]: JSON.stringify(task) });
      await helper.slot(ASKED);
      const asked = await helper.call('FORK', { slot: ASKED, source: HOSTILE, role: Role.ZYGOTE });
      expect(asked.code).toBe(Code.OK);
      let text = '';
      await until('it has tried', () => (text += helper.log(HOSTILE)).includes('RESULT ["newborn"'));
      const told = Object.fromEntries(
        [...text.matchAll(/^RESULT (.*)$/gm)].map(([, json = '']) => JSON.parse(json) as [string, object]),
      );
      zygote = told['zygote'] as typeof zygote;
      newborn = told['newborn'] as typeof newborn;
    });
    afterAll(() => rig.end());

    it('can take no other id, neither itself nor with all capabilities in a nested namespace', () => {
      const names = Object.keys(others);
      expect(names.length).toBe(10);
      expect(zygote).toEqual(Object.fromEntries(names.map((name) => [name, refused])));
      const expected = Object.fromEntries(names.map((name) => [name, refused]));
      expect(newborn).toEqual({ enter: null, ...expected, own: newborn['own'] });
    });

    it(
      refused[0] === 'EPERM' ? 'takes no id of its own block either' : 'takes an id of its own block [control]',
      () => {
        const { own } = newborn;
        if (refused[0] === 'EPERM') expect(own).toBe(null);
        else expect(maps(hostile, own as number)).toBe(true);
      },
    );
  });
});

const TASK = 'packages/.store/hostile==1/files/hostile/task.json';
