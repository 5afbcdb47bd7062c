/** From the zygotes that live to the zygotes that are wanted, as ordered steps. Pure. */
import { childrenOf } from './tree';
import type { DesiredTree, LiveZygote, ZygoteAction } from './types';

/**
 * Lists what to do, in an order in which memory is freed before it is taken, children go before their parents, and
 * parents are made before their children. Carrying the list out and asking again gives an empty list.
 * POLICY: a zygote whose descendants stay is kept, since its end would be theirs (nested pid namespaces).
 */
export function diff(live: readonly LiveZygote[], desired: DesiredTree): ZygoteAction[] {
  const wanted = new Map(desired.zygotes.map((zygote) => [zygote.id, zygote]));
  const alive = new Map(live.map((zygote) => [zygote.id, zygote]));
  const children = childrenOf(live);
  const less: ZygoteAction[] = [];
  const retire: ZygoteAction[] = [];
  const more: ZygoteAction[] = [];

  const keeps = (zygote: LiveZygote): boolean => {
    // Every subtree is walked, so no short cut by some().
    const kept = (children.get(zygote.id) ?? []).map(keeps);
    if (wanted.has(zygote.id)) return true;
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
