/** Opens the worker's port, and closes the port in the right order. */
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Predecessor, RunningWorker } from '../cli/services';
import type { Config } from '../config';
import { homeOf } from '../config/places';
import { listenOn, listenPidSocket, listenTcp, type Listener } from '../event/http/listeners';
import type { Readiness } from '../event/readiness';
import type { LambdaManager } from '../lambda/manager';
import type { Closers } from './closers';
import { handoverRoutes, takeOver, takeSocket } from './handover';

/** Time limit for sending the last answers, in ms. Idle kept-alive connections end meanwhile. */
const FLUSH_MS = 1000;
const IDLE_EVERY_MS = 20;
/** Longest destruction of sandboxes whose calls are cut off, in ms. See LambdaManager.close(). */
const CUT_MS = 10_000;
/** Longest wait for a new worker's zygotes before the takeover, in ms. `ol worker up -d` waits 30 s altogether. */
const WARM_MS = 10_000;

export interface FrontParts {
  /** The running worker whose port this worker takes over. */
  old?: Predecessor | undefined;
  /** Prepares zygotes for the first calls, for at most this time in ms. It runs while `old` serves. */
  warm?: ((ms: number) => Promise<void>) | undefined;
  readiness: Pick<Readiness, 'stop'>;
  /** Absent in sock mode, whose requests are short. */
  manager?: Pick<LambdaManager, 'drain' | 'close'> | undefined;
}

export type Front = Pick<RunningWorker, 'port' | 'failed' | 'succeeded'>;

/**
 * Waits for the accepted calls for at most `ms`. During this time new calls and `/readyz` get status 503. Afterwards
 * the caller cuts off the calls that still run.
 */
async function drain(tcp: Listener, { readiness, manager }: FrontParts, ms: number): Promise<void> {
  readiness.stop();
  tcp.endConnections();
  await manager?.drain(ms);
}

/** Ends each client's connection with its next answer. Another worker serves new connections meanwhile. */
async function leave(tcp: Listener, { manager }: FrontParts, ms: number): Promise<void> {
  tcp.endConnections();
  const late = new AbortController();
  // POLICY: a client may be about to send on an idle connection, so idle connections stay open until the end.
  await Promise.race([tcp.leave(), sleep(ms, undefined, { signal: late.signal })]);
  late.abort();
  await manager?.drain(0);
}

/** Ends the remaining calls and connections. */
async function cut(tcp: Listener, { manager }: FrontParts): Promise<void> {
  const closed = tcp.close(CUT_MS + FLUSH_MS);
  await manager?.close(0);
  const idle = setInterval(() => {
    tcp.server.closeIdleConnections();
  }, IDLE_EVERY_MS);
  await closed;
  clearInterval(idle);
}

/** Binds the port or takes it over, and then opens the worker's control socket. Resolves once both are open. */
export async function openFront(
  config: Config,
  app: RequestListener,
  closers: Closers,
  parts: FrontParts,
): Promise<Front> {
  const { old, warm } = parts;
  if (old !== undefined) await warm?.(WARM_MS);
  const tcp =
    old === undefined
      ? await listenTcp(app, config.worker_url, Number(config.worker_port))
      : await listenOn(app, await takeSocket(config));
  let heir: number | undefined;
  closers.add(async () => {
    await (heir === undefined ? drain : leave)(tcp, parts, config.argyle.drain_sec * 1000);
    await cut(tcp, parts);
  });
  if (old !== undefined) await takeOver(config, old);
  let succeededBy: (why: string) => void = () => undefined;
  const succeeded = new Promise<string>((resolve) => (succeededBy = resolve));
  const routes = handoverRoutes(config, tcp, (pid) => {
    heir = pid;
    succeededBy(`a takeover by process ${pid}`);
  });
  // Open this socket last: a client that gets an answer here assumes that the HTTP port is open.
  const pid = await listenPidSocket(join(homeOf(config), 'ol.sock'), routes);
  closers.add(() => pid.close(0));
  const failed = new Promise<Error>((resolve) => tcp.server.once('error', resolve));
  return { port: tcp.port, failed, succeeded };
}
