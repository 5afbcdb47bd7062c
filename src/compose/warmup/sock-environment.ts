/** The warm-up environment of sock mode: its calls make and destroy sandboxes. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildSockServer } from '../../event/sock-mode';
import { SockSandboxes } from '../../lambda/sock/sock-sandboxes';
import { ZygoteMaker } from '../../zygote/fleet/zygote-maker';
import { UNMEASURED } from '../../zygote/policy/params';
import type { Closers } from '../closers';
import { JSON_HEADERS, openCaller, TOOL_HEADERS, type Call } from './caller';
import { toSandboxLimits } from '../sandboxes/sandboxes';
import { CALLS_A_CONNECTION, environmentBase, environmentLeaves, type EnvironmentParts } from './environment';

const CODE = 'def f(event):\n    return event\n';
/** One call in FRESH_EVERY makes a fresh sandbox. One call in PAUSED_EVERY destroys a paused sandbox. */
const FRESH_EVERY = 20;
const PAUSED_EVERY = 16;

/**
 * Makes an environment. Its calls alternately make a sandbox and destroy it.
 * @param stop ends a running call
 */
export async function makeSockEnvironment(
  parts: EnvironmentParts,
  closers: Closers,
  stop: AbortSignal,
): Promise<(n: number) => Promise<void>> {
  const { config, intake } = parts;
  const { dir, log, dirs, stats, metrics, registry } = await environmentBase(parts, closers, stop);
  const { pool, slots, factory } = environmentLeaves(parts, stats);
  closers.add(() => slots.close());
  closers.add(() => factory.close('the warm-up is over'));
  const limits = toSandboxLimits(config.limits);
  const sandboxes = new SockSandboxes({
    factory,
    maker: new ZygoteMaker({
      slots,
      pool,
      zygoteLimits: limits,
      costOf: () => UNMEASURED,
      onImported: () => undefined,
      onExclude: () => undefined,
    }),
    packages: { ensureInstalled: () => Promise.resolve([]) },
    intake,
    dirs,
    scratchDir: join(dir, 'scratch'),
    limits,
    settledMs: 0,
  });
  closers.add(() => sandboxes.close());
  const served = { sandboxes, registry, stats, metrics, log };
  const caller = await openCaller((adminToken) => buildSockServer({ ...served, adminToken }), closers, stop);
  slots.start();

  const post = (path: string, body: object | null, headers: Call['headers']): Promise<string> =>
    caller.send({ path, method: 'POST', headers, body: body === null ? null : JSON.stringify(body) });
  const code = await makeCode(dir);
  const parent = (await post('/create', { code: '', leaf: false }, JSON_HEADERS)).trim();
  let id = '';
  return async (n) => {
    if (n % CALLS_A_CONNECTION === 0) await caller.close();
    const headers = n % 4 < 2 ? JSON_HEADERS : TOOL_HEADERS;
    if (n % 2 === 1) {
      if (n % PAUSED_EVERY === 1) await post(`/pause/${id}`, null, headers);
      await post(`/destroy/${id}`, null, headers);
    } else {
      const request = n % FRESH_EVERY === 0 ? { code } : { code, leaf: true, parent };
      id = (await post('/create', request, headers)).trim();
    }
  };
}

async function makeCode(dir: string): Promise<string> {
  const code = join(dir, 'code');
  await mkdir(code);
  await writeFile(join(code, 'f.py'), CODE);
  return code;
}
