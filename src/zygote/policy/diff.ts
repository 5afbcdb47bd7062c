/** Computes the ordered actions from the live zygotes to the desired zygotes. Pure. */
import { childrenOf } from './tree';
import type { DesiredTree, LiveZygote, ZygoteAction } from './types';

/**
 * Lists the actions. Actions that free memory come before actions that take memory; children are retired before
 * parents; parents are created before children. After these actions, diff() returns an empty list.
 * POLICY: a zygote with remaining descendants is kept, because its end would kill them (nested pid namespaces).
 */
export function diff(live: readonly LiveZygote[], desired: DesiredTree): ZygoteAction[] {
  const wanted = new Map(desired.zygotes.map((zygote) => [zygote.id, zygote]));
  const alive = new Map(live.map((zygote) => [zygote.id, zygote]));
  const children = childrenOf(live);
  const less: ZygoteAction[] = [];
  const retire: ZygoteAction[] = [];
  const more: ZygoteAction[] = [];

  const keeps = (zygote: LiveZygote): boolean => {
    // map() instead of some(): the walk must visit every subtree.
    const kept = (children.get(zygote.id) ?? []).map(keeps);
    if (wanted.has(zygote.id) || zygote.held === true) return true;
    if (zygote.spares > 0) less.push({ kind: 'spares', id: zygote.id, count: 0 });
    if (kept.includes(true)) {
      if (zygote.replicas > 1) less.push({ kind: 'replicas', id: zygote.id, count: 1 });
      return true;
    }
    if (zygote.state !== 'draining') retire.push({ kind: 'retire', id: zygote.id });
    return false;
  };
  for (const root of children.get(undefined) ?? []) keeps(root);

  for (const zygote of desired.zygotes) {
    const { id } = zygote;
    const now = alive.get(id);
    if (now === undefined) more.push({ kind: 'create', id, parent: zygote.parent, pins: zygote.pins });
    else if (now.state === 'draining') more.push({ kind: 'revive', id });
    const replicas = now?.replicas ?? 1;
    const spares = now?.spares ?? 0;
    if (spares > zygote.spares) less.push({ kind: 'spares', id, count: zygote.spares });
    if (replicas > zygote.replicas) less.push({ kind: 'replicas', id, count: zygote.replicas });
    if (replicas < zygote.replicas) more.push({ kind: 'replicas', id, count: zygote.replicas });
    if (spares < zygote.spares) more.push({ kind: 'spares', id, count: zygote.spares });
  }
  return [...less, ...retire, ...more];
}
