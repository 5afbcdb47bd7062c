import fc from 'fast-check';
import {
  candidateSets,
  closureIn,
  lacksNeeds,
  intersect,
  setId,
  without,
} from '../../../../src/zygote/policy/candidates';
import { nameOfKey } from '../../../../src/zygote/policy/match';
import type { PinKey } from '../../../../src/zygote/policy/types';

const NEEDS: Record<string, string[]> = { pandas: ['numpy', 'pytz'], numpy: [], pytz: [], six: [], geo: ['pandas'] };
const requiresOf = (key: PinKey) => NEEDS[nameOfKey(key)];
const unknown = () => undefined;
const costOf = (key: PinKey) => ({ ms: key.startsWith('pandas') ? 200 : 10, mb: 1 });
const LIMITS = { pairs: 50, candidates: 100, heavyPerSet: 2 };

describe('intersect', () => {
  it('is the common part when no versions conflict, even with unknown needs', () => {
    expect(intersect(['numpy==2', 'pandas==2', 'six==1'], ['numpy==2', 'pandas==2', 'zip==1'], unknown)).toEqual([
      'numpy==2',
      'pandas==2',
    ]);
  });

  it('drops packages that need a package with conflicting versions, transitively', () => {
    const a = ['geo==1', 'numpy==1', 'pandas==2', 'pytz==1', 'six==1'];
    const b = ['geo==1', 'numpy==2', 'pandas==2', 'pytz==1', 'six==1'];
    expect(intersect(a, b, requiresOf)).toEqual(['pytz==1', 'six==1']);
  });

  it('drops packages with unknown needs when versions conflict', () => {
    expect(intersect(['a==1', 'numpy==1', 'six==1'], ['a==1', 'numpy==2', 'six==1'], requiresOf)).toEqual(['six==1']);
  });

  it('stays closed under dependencies for closed sets', () => {
    const versions = fc.record({ numpy: fc.constantFrom('1', '2'), pandas: fc.constantFrom('1', '2') });
    const set = fc.tuple(versions, fc.subarray(['geo', 'pandas', 'numpy', 'six', 'pytz'])).map(([version, names]) => {
      const closed = new Set<string>();
      const visit = (name: string): void => {
        closed.add(name);
        for (const needed of NEEDS[name] ?? []) visit(needed);
      };
      names.forEach(visit);
      return [...closed].map((name) => `${name}==${name in version ? version[name as 'numpy'] : '1'}`).sort();
    });
    fc.assert(
      fc.property(set, set, (a, b) => {
        const names = new Set(intersect(a, b, requiresOf).map(nameOfKey));
        for (const name of names) for (const needed of NEEDS[name] ?? []) expect(names).toContain(needed);
      }),
    );
  });
});

describe('without', () => {
  it('removes banned packages and all packages that need them', () => {
    const pins = ['geo==1', 'numpy==2', 'pandas==2', 'pytz==1', 'six==1'];
    expect(without(pins, (key) => nameOfKey(key) === 'numpy', requiresOf)).toEqual(['pytz==1', 'six==1']);
    expect(without(pins, () => false, requiresOf)).toBe(pins);
  });
});

describe('closureIn', () => {
  it('returns a package with its needs from the set', () => {
    expect(closureIn(['numpy==2', 'pandas==2', 'pytz==1', 'six==1'], 'pandas==2', requiresOf)).toEqual([
      'numpy==2',
      'pandas==2',
      'pytz==1',
    ]);
    expect(closureIn(['a==1'], 'a==1', unknown)).toBeUndefined();
  });
});

describe('lacksNeeds', () => {
  it('checks all needs of a package, direct and transitive', () => {
    const needs: Record<string, string[]> = { 'pandas==2': ['numpy', 'dateutil'], 'dateutil==2': ['six'] };
    const lacks = (...pins: string[]) => lacksNeeds(pins, 'pandas==2', (key) => needs[key]);
    expect(lacks('numpy==2', 'pandas==2', 'dateutil==2', 'six==1')).toBe(false);
    expect(lacks('numpy==2', 'pandas==2', 'dateutil==2')).toBe(true);
    expect(lacks('pandas==2')).toBe(true);
    expect(lacksNeeds(['pandas==2'], 'pandas==2', unknown)).toBe(false);
  });
});

describe('candidateSets', () => {
  const demands = [
    { pins: ['numpy==2', 'pandas==2', 'pytz==1', 'six==1'], ratePerSec: 1 },
    { pins: ['numpy==2', 'pandas==2', 'pytz==1', 'zip==1'], ratePerSec: 1 },
    { pins: [], ratePerSec: 9 },
  ];

  it('contains the demanded sets and their common parts, once each, without the empty set', () => {
    const ids = candidateSets(demands, costOf, unknown, LIMITS).map(setId);
    expect(ids).toEqual(expect.arrayContaining(demands.slice(0, 2).map(({ pins }) => setId(pins))));
    expect(ids).toContain('numpy==2,pandas==2,pytz==1');
    expect(ids).not.toContain('');
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('contains closures of expensive packages even of a single demand', () => {
    const ids = candidateSets(demands.slice(0, 1), costOf, requiresOf, LIMITS).map(setId);
    expect(ids).toContain('numpy==2,pandas==2,pytz==1');
  });

  it('stays within its limit', () => {
    expect(candidateSets(demands, costOf, unknown, { ...LIMITS, candidates: 2 })).toHaveLength(2);
  });
});
