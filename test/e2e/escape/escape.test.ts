/**
 * Every attack fails in a fresh leaf, in a forked leaf, and in a zygote with a malicious package. As a control, each
 * attack works where the protection is switched off, so that no attack fails for a wrong reason.
 */
import { Flag, Network } from '../../../src/helper/protocol';
import { describePrivileged } from '../../support/privileged';
import { EscapeRig, catalogue, type Results } from './rig';

jest.setTimeout(240_000);

const CATALOGUE = catalogue();
const NAMES = Object.keys(CATALOGUE);
/** These attacks may end their sandbox, so each gets its own sandbox. */
const DEADLY = ['fill_memory', 'fill_memory_by_shared'];
/** Features that a kernel may lack. Without one of these, a control that fails is no failure. */
const MAY_BE_ABSENT = ['load_module', 'kexec', 'io_ports', 'kernel_crypto', 'open_any_disk', 'i386_call', 'x32_call'];
/** ENOSYS and EAFNOSUPPORT. */
const ABSENT = /Errno (38|97)\]/;
/**
 * Features that User Mode Linux lacks besides, each with the control's error: kcmp, perf, LDTs and int 0x80 do not
 * exist, MPTCP and UDP-Lite are not configured, and the host's files (hostfs) have no handles.
 */
const ABSENT_IN_UML: Record<string, RegExp> = {
  compare_with_other: ABSENT,
  perf_event: ABSENT,
  modify_ldt: ABSENT,
  i386_call: /^False$/,
  multipath_tcp: /Errno 93\]/,
  udp_lite: /Errno 93\]/,
  open_by_handle: /Errno 95\]/,
  // PR_SET_TSC, same-page merging and huge pages do not exist.
  fault_the_clock: /^False$|Errno (22|38)\]/,
  merge_pages: /^False$|Errno (22|38)\]/,
  huge_page_file: /^False$|Errno (22|38|95)\]/,
};
const IN_UML = process.env['ARGYLE_VM_MACHINE'] === 'uml';
/** An error in the attack itself, or a missing result, proves no protection. */
const WRONG_REASON =
  /^(Type|Name|Key|Index|Attribute|Import|ModuleNotFound|Value|Assertion|Unicode|RuntimeError)|^TimeoutError|timed out|^died or hung/;
const CALM = NAMES.filter((name) => !DEADLY.includes(name));

describePrivileged('escapes', () => {
  const rig = new EscapeRig();
  const results: Record<string, Results> = {};

  beforeAll(async () => {
    await rig.begin();
    const helper = await rig.helper();
    results['fresh leaf'] = await rig.leaf(helper, CALM);
    results['forked leaf'] = await rig.leaf(helper, CALM, true);
    results['zygote'] = await rig.zygote(helper, CALM);
    for (const name of DEADLY) {
      Object.assign(results['fresh leaf'], await rig.leaf(helper, [name]));
      Object.assign(results['forked leaf'], await rig.leaf(helper, [name], true));
      Object.assign(results['zygote'], await rig.zygote(helper, [name]));
    }
    const wanting = (control: string): string[] => NAMES.filter((name) => CATALOGUE[name]?.control === control);
    const noSeccomp = await rig.helper(Flag.HOST_USR | Flag.NO_SECCOMP);
    results['noseccomp'] = await rig.leaf(noSeccomp, wanting('noseccomp'));
    const hostNet = await rig.helper(Flag.HOST_USR, Network.HOST);
    results['hostnet'] = await rig.leaf(hostNet, wanting('hostnet'));
  });

  afterAll(() => rig.end());

  it('of more than 100 kinds are tried', () => {
    expect(NAMES.length).toBeGreaterThan(100);
  });

  it('do not affect the other tenant', () => {
    expect(rig.otherSecret()).toBe('scratch secret');
  });

  it.each(NAMES)('%s', (name) => {
    const info = CATALOGUE[name] ?? { control: '', zygote: true };
    for (const position of ['fresh leaf', 'forked leaf', ...(info.zygote ? ['zygote'] : [])]) {
      const result = results[position]?.[name];
      expect([position, result]).toEqual([position, { ok: false, detail: expect.any(String) as string }]);
      if (!DEADLY.includes(name))
        expect([position, result?.detail]).not.toEqual([position, expect.stringMatching(WRONG_REASON)]);
    }
    const control = results[info.control]?.[name] ?? rig.without(name, info.control);
    // This kernel lacks the feature. SECURITY.md counts these attacks separately.
    if (ABSENT.test(control.detail) && MAY_BE_ABSENT.includes(name)) return;
    if (IN_UML && ABSENT_IN_UML[name]?.test(control.detail) === true) return;
    expect([info.control, control]).toEqual([info.control, { ok: true, detail: expect.any(String) as string }]);
  });
});
