import type { ErrorCode } from '../../../../../src/errors';
import { ArgyleError } from '../../../../../src/errors';
import { CodeVersion } from '../../../../../src/lambda/code/version';
import { defaultLambdaConfig } from '../../../../../src/lambda/code/lambda-config';
import { Instance, type ServeResult } from '../../../../../src/lambda/serve/instance';
import { PauseTurns } from '../../../../../src/lambda/serve/pause-turns';
import { StatsRegistry } from '../../../../../src/metrics';
import { guard, ScriptedClient, ScriptedSandbox, settle } from '../../../../support/scripted-sandbox';

const FACTS = { name: 'f', codeName: '1-f-1', dir: '/nowhere', version: '1', entryFile: 'f.py' };

const HELPER_ENDED = 'the sandbox helper ended, and every sandbox with it';

describe('a request to a paused instance', () => {
  let sandbox: ScriptedSandbox;
  let instance: Instance;
  let endThaw: (error?: Error) => void;
  let now: number;

  const serve = (
    client: ScriptedClient,
  ): { served: Promise<ServeResult>; call: { start: unknown; startMs: number } } => {
    const invocation = client.invocation('/run/f', 'body');
    instance.unpark();
    invocation.call.taken(0);
    return { served: instance.serve(invocation, 0), call: invocation.call };
  };

  beforeEach(async () => {
    sandbox = new ScriptedSandbox();
    const rest = { runtime: 'python' as const, env: {}, packages: [], config: defaultLambdaConfig() };
    now = 0;
    const guarded = guard(sandbox);
    instance = new Instance(guarded, new CodeVersion({ ...FACTS, ...rest }, () => undefined), {
      stats: new StatsRegistry(),
      log: { debug: () => undefined, info: () => undefined, warn: () => undefined },
      pauseAfterMs: -1,
      pauses: new PauseTurns(),
      now: () => now,
    });
    const { served } = serve(new ScriptedClient());
    await settle();
    sandbox.requests[0]?.answer('');
    await served;
    instance.leave();
    await guarded.pause();
    sandbox.resume = () => {
      return new Promise<void>((resolve, reject) => {
        endThaw = (error) => {
          if (error === undefined) resolve();
          else reject(error);
        };
      });
    };
  });

  test('is sent when the thaw is ordered, and the thaw counts as its start', async () => {
    const client = new ScriptedClient();
    const { served, call } = serve(client);
    await settle();
    expect(sandbox.requests).toHaveLength(2);
    now = 3;
    endThaw();
    await settle();
    sandbox.requests[1]?.answer('thawed');
    await expect(served).resolves.toBe('done');
    expect([client.text, call.start, call.startMs]).toEqual(['thawed', 'unpause', 3]);
  });

  const failThaw = async (code: ErrorCode): Promise<ServeResult> => {
    const { served } = serve(new ScriptedClient());
    served.catch(() => undefined);
    await settle();
    sandbox.requests[1]?.sent();
    endThaw(new ArgyleError(code, 'no thaw'));
    await settle();
    expect(sandbox.life.end?.why).toBe(code === 'HELPER_GONE' ? HELPER_ENDED : 'could not be resumed');
    sandbox.requests[1]?.fail('UND_ERR_DESTROYED');
    return served;
  };

  test('goes to another instance when the thaw is refused', async () => {
    await expect(failThaw('SANDBOX_STATE')).resolves.toBe('retry');
  });

  test('fails when the guest may have been thawed and may have run', async () => {
    await expect(failThaw('HELPER_GONE')).rejects.toMatchObject({ code: 'SANDBOX_DEAD' });
  });
});
