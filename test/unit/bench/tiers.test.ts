import { readTiers, strayed } from '../../../bench/subjects/tiers';
import type { Tiers } from '../../../bench/subjects/tiers';

const zygote = (id: string, packages: string[], forks: number, state = 'ready') => ({
  id,
  packages,
  forks,
  spares: 1,
  state,
});
const METRICS = 'argyle_cold_start_seconds_count{kind="fork"} 7\nargyle_cold_start_seconds_count{kind="spare"} 12\n';
const tiers = (made: Partial<Tiers['made']>, forks: number | undefined): Tiers => ({
  made: { fresh: 0, fork: 0, spare: 0, ...made },
  forks,
  spares: 0,
});

test('reads how sandboxes were made, and the zygote with the packages among the ready ones', () => {
  const zygotes = [
    zygote('', [], 3),
    zygote('old', ['six==1.16'], 90, 'draining'),
    zygote('new', ['numpy==2.1', 'six==1.16'], 4),
  ];
  const read = (pins: string[]): Tiers => readTiers(METRICS, { zygotes }, pins);
  expect(read(['numpy==2.1.0', 'six==1.16.0'])).toEqual({
    made: { fresh: 0, fork: 7, spare: 12 },
    forks: 4,
    spares: 1,
  });
  expect(read([]).forks).toBe(3);
  expect(read(['other==1'])).toMatchObject({ forks: undefined, spares: 0 });
});

test('a call is told from one that went another way', () => {
  const none = tiers({}, 5);
  expect(strayed('spare', none, tiers({ spare: 1 }, 6))).toBeUndefined();
  expect(strayed('warm', none, none)).toBeUndefined();
  expect(strayed('fresh', none, tiers({ fresh: 1 }, undefined))).toBeUndefined();
  expect(strayed('spare', none, tiers({ fork: 1 }, 6))).toBe('sandboxes made: fork instead of spare');
  expect(strayed('fork', none, tiers({ fork: 1 }, 5))).toContain('another zygote');
  expect(strayed('fork', none, tiers({ fork: 1 }, undefined))).toContain('no zygote');
  expect(strayed('warm', none, tiers({ fresh: 1, fork: 1 }, 5))).toBe('sandboxes made: fresh, fork instead of warm');
  expect(strayed('fresh', none, none)).toBe('sandboxes made: none instead of fresh');
});
