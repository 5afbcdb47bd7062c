import { readFresh, strayed, zygoteOf } from '../../../bench/subjects/tiers';
import type { Tiers } from '../../../bench/subjects/tiers';

type Zygote = Tiers['zygotes'][number];

const zygote = (id: string, packages: string[], more: Partial<Zygote> = {}): Zygote => ({
  id,
  packages,
  forks: 0,
  fromSpares: 0,
  spares: 1,
  state: 'ready',
  ...more,
});
/** A root and a child that has imported six, each with its numbers of forks and of used spares. */
const tiers = (root: [number, number], child: [number, number] = [0, 0], fresh?: number): Tiers => ({
  zygotes: [
    zygote('', [], { forks: root[0], fromSpares: root[1] }),
    zygote('six', ['six==1.16'], { forks: child[0], fromSpares: child[1] }),
  ],
  fresh,
});

test('finds the zygote with the packages among the ready ones', () => {
  const zygotes = [
    zygote('', []),
    zygote('old', ['six==1.16'], { state: 'draining' }),
    zygote('new', ['numpy==2.1', 'six==1.16']),
  ];
  const find = (pins: string[]): string | undefined => zygoteOf({ zygotes, fresh: undefined }, pins)?.id;
  expect(find(['numpy==2.1.0', 'six==1.16.0'])).toBe('new');
  expect(find([])).toBe('');
  expect(find(['other==1'])).toBeUndefined();
});

test('reads the number of fresh sandboxes', () => {
  expect(readFresh('x 1\nargyle_cold_start_seconds_count{kind="fresh"} 7\n')).toBe(7);
  expect(readFresh('argyle_cold_start_seconds_count{kind="spare"} 12\n')).toBe(0);
});

test('detects a call with another kind of start', () => {
  const before = tiers([5, 2]);
  expect(strayed('fork', [], before, tiers([6, 2]))).toBeUndefined();
  expect(strayed('spare', [], before, tiers([6, 3]))).toBeUndefined();
  expect(strayed('spare', ['six'], before, tiers([5, 2], [1, 1]))).toBeUndefined();
  expect(strayed('warm', [], before, before)).toBeUndefined();
  expect(strayed('fresh', [], tiers([0, 0], [0, 0], 3), tiers([0, 0], [0, 0], 4))).toBeUndefined();
  expect(strayed('spare', [], before, tiers([6, 2]))).toBe('sandboxes made: 1 fork instead of spare');
  expect(strayed('fork', [], before, tiers([6, 3]))).toBe('sandboxes made: 1 spare instead of fork');
  expect(strayed('fork', [], before, tiers([5, 2], [1, 0]))).toContain('another zygote');
  expect(strayed('fork', ['other'], before, tiers([6, 2]))).toContain('no zygote');
  expect(strayed('warm', [], before, tiers([7, 3]))).toBe('sandboxes made: 1 fork, 1 spare instead of warm');
  expect(strayed('fresh', [], tiers([0, 0], [0, 0], 3), tiers([0, 0], [0, 0], 3))).toContain('none instead of fresh');
});
