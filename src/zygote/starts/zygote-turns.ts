/** Zygotes that are made ahead take turns in the queue of starts, as one additional function. */
import type { Group, GroupsOptions } from '../fleet/group';
import { ArgyleError } from '../../errors';
import type { CostOf } from '../policy/types';
import { ZYGOTE_START_MS } from './start-profiles';
import { LIGHT_MS, type StartQueue, type Turn } from './queue';
import { AHEAD } from './turns';

/** Limit for the parents that are made for one zygote. */
const PARENT_TRIES = 3;
/**
 * Resolves when the group's process may be made. The root needs no turn, because all functions wait for it. A zygote
 * for which calls wait needs no turn of its own, because these calls hold one.
 */
async function zygoteTurn(
  group: Group,
  starts: StartQueue | undefined,
  costOf: CostOf | undefined,
): Promise<Turn | undefined> {
  if (starts === undefined || group.spec.parent === undefined || group.urgent) return undefined;
  let ownMs = Math.max(LIGHT_MS + 1, ZYGOTE_START_MS);
  for (const key of group.spec.imports.keys()) ownMs += costOf?.(key).ms ?? 0;
  const kind = { id: `zygote ${group.spec.id}`, estimate: () => ({ ownMs }), makeZygote: () => Promise.resolve() };
  return starts.enter(AHEAD, kind, { isWanted: () => !group.urgent && !group.draining, onTurn: () => undefined });
}

/**
 * Returns a ready parent and a turn. Deadlock: the holder of a turn must not wait for another turn. The parent is
 * therefore made before the turn is taken. If the parent was evicted in the meantime, the turn ends, and the parent is
 * made again.
 *
 * @param ready returns the parent, and makes it if needed; undefined for a zygote without a parent
 * @throws ArgyleError ZYGOTE_FAILED when the parent is evicted each time, and the errors of `ready`
 */
export async function parentAndTurn<P extends { readonly isReady: boolean }>(
  group: Group,
  { starts, costOf }: Pick<GroupsOptions, 'starts' | 'costOf'>,
  ready: (() => Promise<P>) | undefined,
): Promise<{ parent: P | undefined; turn: Turn | undefined }> {
  if (ready === undefined) return { parent: undefined, turn: await zygoteTurn(group, starts, costOf) };
  for (let tries = 0; tries < PARENT_TRIES; tries++) {
    const parent = await ready();
    const turn = await zygoteTurn(group, starts, costOf);
    if (parent.isReady) return { parent, turn };
    turn?.leave();
  }
  throw new ArgyleError('ZYGOTE_FAILED', 'the parent of a zygote was evicted before each attempt to fork from it');
}
