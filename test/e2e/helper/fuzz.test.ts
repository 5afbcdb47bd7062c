/** A short run of each fuzzer over its corpus. A finding or a broken target fails this test. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HELPER_DIR, OUT } from '../../support/helper/build';
import { describePrivileged } from '../../support/privileged';

jest.setTimeout(180_000);

describePrivileged(
  'fuzzing',
  () => {
    it.each([
      ['config', 100_000],
      ['names', 50_000],
      ['request', 5000],
    ])('%s survives %i inputs', (target, runs) => {
      execFileSync('make', ['-s', '-C', HELPER_DIR, `OUT=${join(OUT, '..')}`, join(OUT, `fuzz-${target}`)], {
        stdio: 'pipe',
      });
      const work = mkdtempSync(join(tmpdir(), 'argyle-fuzz-run-'));
      mkdirSync(join(work, 'found'));
      const args = [`-runs=${runs}`, '-seed=1', '-max_total_time=60', `-artifact_prefix=${work}/`];
      const corpus = [join(work, 'found'), join(HELPER_DIR, 'tests/corpus', target)];
      const options = { timeout: 100_000, stdio: 'pipe' as const };
      expect(() => execFileSync(join(OUT, `fuzz-${target}`), [...args, ...corpus], options)).not.toThrow();
      rmSync(work, { recursive: true, force: true });
    });
  },
  ['clang'],
);
