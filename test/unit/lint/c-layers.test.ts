/** The includes and calls of the helper's C point one way: main loop → verbs → mechanisms → base. */
import { appendFileSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HELPER_DIR, helperSources } from '../../support/helper/build';
import { helperFiles, violations } from '../../support/helper/c-layers';

jest.setTimeout(60_000);

describe('layers of the helper', () => {
  let root: string;

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'argyle-c-'));
    cpSync(HELPER_DIR, root, { recursive: true, filter: (path) => !path.startsWith(join(HELPER_DIR, 'tests/')) });
  });

  afterEach(() => {
    rmSync(root, { recursive: true });
  });

  const write = (file: string, ...lines: string[]): void => {
    writeFileSync(join(root, file), `${lines.join('\n')}\n`);
  };

  it('apply to every file of the helper', () => {
    const files = helperFiles(HELPER_DIR, '.c').map((file) => join(HELPER_DIR, file));
    expect([...helperSources()].sort()).toEqual(files.sort());
    expect(violations(HELPER_DIR)).toEqual([]);
  });

  it.each([
    ['base', 'cgroup_stop', 'mech/cgroup.c'],
    ['base', 'slot_fail', 'verbs/slot.c'],
    ['base', 'main', 'helper.c'],
    ['mech', 'slot_fail', 'verbs/slot.c'],
    ['mech', 'main', 'helper.c'],
    ['verbs', 'main', 'helper.c'],
  ])('refuse that %s/ calls %s()', (layer, name, where) => {
    write(`${layer}/probe.c`, `int ${name}();`, `int probe(void) { return ${name}(); }`);
    expect(violations(root)).toContain(`${layer}/probe.c → ${where}: ${name}`);
  });

  it('refuse a read of a table of a higher layer', () => {
    write('base/probe.c', 'extern const char *const pool_name[];', 'const char *probe(void) { return pool_name[1]; }');
    expect(violations(root)).toEqual(['base/probe.c → mech/cgroup.c: pool_name']);
  });

  it.each([
    ['base/probe.c', 'mech/mech.h'],
    ['base/probe.h', 'mech/mech.h'],
    ['base/probe.c', 'verbs/verbs.h'],
    ['mech/probe.c', 'verbs/verbs.h'],
  ])('refuse that %s includes %s', (file, header) => {
    write(file, `#include "${header}"`);
    expect(violations(root)).toEqual([`${file} → ${header}: #include "${header}"`]);
  });

  it('refuse a cycle of calls between files of one layer', () => {
    write('verbs/probe.c', 'int spawn_guest();', 'int probe(void) { return spawn_guest(); }');
    appendFileSync(
      join(root, 'verbs/spawn.c'),
      'int probe(void);\nint again(void);\nint again(void) { return probe(); }\n',
    );
    expect(violations(root)).toEqual(['circle: verbs/probe.c → verbs/spawn.c → verbs/probe.c']);
  });

  it('let each layer use those below it', () => {
    write(
      'verbs/probe.c',
      '#include "mech/mech.h"',
      'int probe(void);',
      'int probe(void) { return rootfs_unshare(); }',
    );
    expect(violations(root)).toEqual([]);
  });
});
