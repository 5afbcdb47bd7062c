import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { PYTHON } from '../../../support/guest/guest';

const GUEST = path.resolve(__dirname, '../../../../sandbox-helper/guest');
const TWINS = path.resolve(__dirname, '../../../support/guest/twins.py');

type Draw = Record<'ssl' | 'random' | 'tempfile' | 'pid', string | number>;

/** The values that the two children drew. Fails where the kernel allows no pid namespace, as Argyle itself does. */
function twins(...options: string[]): [Draw, Draw] {
  const { stdout, stderr, status } = spawnSync(PYTHON, [TWINS, GUEST, ...options], { encoding: 'utf8' });
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  const [, one, two] = stdout.trim().split('\n'); // the first line is the parent's
  return [JSON.parse(one ?? '') as Draw, JSON.parse(two ?? '') as Draw];
}

describe('children that share the process id of their zygote', () => {
  test('draw equal values without reseeds()', () => {
    const [one, two] = twins();
    expect(one).toEqual(two);
    expect(one.pid).toBe(1);
  });

  test('draw different values from every generator after reseeds()', () => {
    const [one, two] = twins('reseed');
    for (const kind of ['ssl', 'random', 'tempfile'] as const) expect(one[kind]).not.toBe(two[kind]);
  });
});
