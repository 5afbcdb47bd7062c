/** Makes the instances of one function. Counts pending starts, and measures the time that a start takes. */
import { ArgyleError, asArgyleError } from '../../../errors';
import type { CodeVersion } from '../../code/version';
import type { ColdCause } from './cold-cause';
import { Instance } from '../instance';
import { leafSpec } from './leaf-spec';
import { PendingStarts } from './pending-starts';
import type { PoolDeps } from '../pool-parts';
import { smooth } from '../scaling';

/** Assumed start time of an instance before the first measurement, in ms. A fresh Python starts in about this time. */
const GUESSED_COLD_MS = 30;

/** An instance to make. */
export interface Wanted {
  code: CodeVersion;
  /** Whether the instance is still wanted. Asked at the start's turn. */
  isWanted: () => boolean;
  /** Why the first call of this instance is a cold start. */
  cause: ColdCause;
}

export class Starter {
  readonly pending: PendingStarts;
  /** Average time to make an instance, from the start's turn, in ms. */
  coldMs = GUESSED_COLD_MS;

  constructor(
    private readonly name: string,
    private readonly deps: PoolDeps,
  ) {
    this.pending = new PendingStarts(deps.now);
  }

  /**
   * Makes one instance when the start's turn comes.
   * @param onMade is called with the instance in the same turn of the event loop in which the start ceases to be
   *   pending
   * @returns false when the instance is no longer wanted
   * @throws ArgyleError with the original's message
   */
  async make({ code, isWanted, cause }: Wanted, onMade: (made: Instance) => void): Promise<boolean> {
    const { provider, settings, stats, log, now, onStarted, gate, pauses } = this.deps;
    const askedMs = now();
    const pending = this.pending.add(isWanted);
    const { wish } = pending;
    code.retain();
    try {
      const spec = leafSpec(code, settings);
      if (provider.createWhile === undefined) wish.onTurn();
      const sandbox = await (provider.createWhile?.(spec, wish) ?? provider.create(spec));
      if (sandbox === undefined) {
        code.release();
        return false;
      }
      this.coldMs = smooth(this.coldMs, now() - pending.sinceMs);
      const ms = now() - askedMs;
      stats.record('LambdaInstance-WaitSandbox', ms);
      if (sandbox.start === 'fresh') stats.record('LambdaInstance-WaitSandbox-NoImportCache', ms);
      onStarted(sandbox, ms, this.name);
      void sandbox.life.exited.then(() => {
        if (sandbox.life.end?.by === 'helper') gate.lost();
      });
      const { pauseAfterMs } = settings;
      onMade(new Instance(sandbox, code, { stats, log, pauseAfterMs, now, pauses, madeMs: ms, cause }));
      return true;
    } catch (thrown) {
      code.release();
      const error = asArgyleError('SANDBOX_CREATE', thrown);
      throw new ArgyleError(error.code, `could not create Sandbox: ${error.message}\n`, { cause: error });
    } finally {
      pending.end();
    }
  }
}
