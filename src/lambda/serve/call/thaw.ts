/** Thaws a paused sandbox for a call. */
import { ArgyleError, type ErrorCode } from '../../../errors';
import type { Sandbox } from '../../../sandbox/types';
import type { InstanceOptions } from '../instance';
import type { Call } from './call';

/**
 * Errors of a thaw after which the guest is certainly frozen. With other errors, such as HELPER_GONE, the guest may have
 * been thawed and may have seen the request.
 */
const REFUSALS: ReadonlySet<ErrorCode> = new Set(['SANDBOX_CREATE', 'SANDBOX_STATE']);

/**
 * POLICY: the request is sent as soon as the thaw is ordered. The guest then runs when the helper has thawed it, and does
 * not wait until the worker has read the helper's answer.
 * @param onFailed called when the sandbox was not thawed; `refused`: the guest has not seen the request
 * @returns true when the request may be sent; false after onFailed
 */
export function thaw(
  sandbox: Sandbox,
  call: Call,
  { now, log, stats }: Pick<InstanceOptions, 'now' | 'log' | 'stats'>,
  onFailed: (refused: boolean) => void,
): Promise<boolean> {
  call.thawing();
  const startMs = now();
  return new Promise((resolve) => {
    const ordered = (): void => {
      resolve(true);
    };
    const thawed = (): void => {
      const ms = now() - startMs;
      call.thawed(ms);
      stats.record('LambdaInstance-WaitSandbox', ms);
      stats.record('LambdaInstance-WaitSandbox-Unpause', ms);
      resolve(true);
    };
    sandbox.resume(ordered).then(thawed, (thrown: unknown) => {
      log.debug({ id: sandbox.id, err: thrown }, 'could not resume a paused sandbox');
      onFailed(thrown instanceof ArgyleError && REFUSALS.has(thrown.code));
      resolve(false);
    });
  });
}
