/** Zygotes that are made ahead take turns in the queue of starts, as one additional function. */
import type { Group } from '../fleet/group';
import type { CostOf } from '../policy/types';
import { ZYGOTE_START_MS } from './start-profiles';
import { LIGHT_MS, type StartQueue, type Turn } from './queue';

/** The queue's name for zygotes; no function has this name. */
const NOBODY = '';

/**
 * Resolves when the group's process may be made. The root needs no turn, because all functions wait for it. A zygote
 * that calls wait for needs no turn, because the turn belongs to these calls.
 */
export async function zygoteTurn(
  group: Group,
  starts: StartQueue | undefined,
  costOf: CostOf | undefined,
): Promise<Turn | undefined> {
  if (starts === undefined || group.spec.parent === undefined || group.urgent) return undefined;
  let ownMs = Math.max(LIGHT_MS + 1, ZYGOTE_START_MS);
  for (const key of group.spec.imports.keys()) ownMs += costOf?.(key).ms ?? 0;
  const kind = { id: `zygote ${group.spec.id}`, estimate: () => ({ ownMs }), makeZygote: () => Promise.resolve() };
  return starts.enter(NOBODY, kind, { isWanted: () => !group.urgent && !group.draining, onTurn: () => undefined });
}
