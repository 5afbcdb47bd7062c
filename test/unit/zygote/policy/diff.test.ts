import { diff } from '../../../../src/zygote/policy/diff';
import type { DesiredTree, DesiredZygote, LiveZygote } from '../../../../src/zygote/policy/types';

function live(id: string, parent?: string, rest: Partial<LiveZygote> = {}): LiveZygote {
  return { id, parent, pins: id === '' ? [] : id.split(','), replicas: 1, spares: 0, state: 'ready', ...rest };
}

function desired(...zygotes: [id: string, parent?: string | undefined, rest?: Partial<DesiredZygote>][]): DesiredTree {
  const list = zygotes.map(([id, parent, rest]): DesiredZygote => {
    const pins = id === '' ? [] : id.split(',');
    return { id, parent, pins, replicas: 1, spares: 0, gainMsPerSec: 1, mb: 1, forksPerSec: 1, ...rest };
  });
  return { zygotes: list, mb: 1, savedMsPerSec: 1 };
}

describe('diff', () => {
  it('creates parents before children, and spares and replicas after them', () => {
    expect(diff([], desired(['', undefined], ['a', ''], ['a,b', 'a', { spares: 2, replicas: 2 }]))).toEqual([
      { kind: 'create', id: '', parent: undefined, pins: [] },
      { kind: 'create', id: 'a', parent: '', pins: ['a'] },
      { kind: 'create', id: 'a,b', parent: 'a', pins: ['a', 'b'] },
      { kind: 'replicas', id: 'a,b', count: 2 },
      { kind: 'spares', id: 'a,b', count: 2 },
    ]);
  });

  it('retires children before parents, and frees memory before it takes any', () => {
    const now = [live(''), live('a', ''), live('a,b', 'a', { spares: 3 })];
    expect(diff(now, desired(['', undefined], ['c', '']))).toEqual([
      { kind: 'spares', id: 'a,b', count: 0 },
      { kind: 'retire', id: 'a,b' },
      { kind: 'retire', id: 'a' },
      { kind: 'create', id: 'c', parent: '', pins: ['c'] },
    ]);
  });

  it('keeps an unwanted zygote with a remaining descendant, without its spares and copies', () => {
    const now = [live(''), live('a', '', { spares: 2, replicas: 3 }), live('a,b', 'a')];
    expect(diff(now, desired(['', undefined], ['a,b', 'a']))).toEqual([
      { kind: 'spares', id: 'a', count: 0 },
      { kind: 'replicas', id: 'a', count: 1 },
    ]);
  });

  it('revives draining zygotes instead of creating them again, and retires none twice', () => {
    const now = [live(''), live('a', '', { state: 'draining' }), live('b', '', { state: 'draining' })];
    expect(diff(now, desired(['', undefined], ['a', '']))).toEqual([{ kind: 'revive', id: 'a' }]);
  });

  it('is empty when the zygotes are as desired', () => {
    expect(diff([live(''), live('a', '', { spares: 1 })], desired(['', undefined], ['a', '', { spares: 1 }]))).toEqual(
      [],
    );
  });
});
