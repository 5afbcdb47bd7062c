/**
 * Access control for all requests. One check runs before every route of the worker, including the fast path of
 * invocations. A path that this file does not list needs the token.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ArgyleError } from '../../errors';
import { REQUEST_ID, requestIdOf } from '../call/request-id';
import { isPage } from '../dashboard/files';
import { isCrossSite, KnownHosts, nameList } from './host-names';
import { decodePath, splitTarget } from './mux';
import { sendThrown } from './replies';

export interface AccessSettings {
  /** argyle.admin_token; '' disables the token. */
  adminToken: string;
  /** argyle.metrics_token: /metrics needs the token, too. */
  metricsToken?: boolean;
  allowedHosts?: string;
  allowedOrigins?: string;
  /** The worker's own host names: worker_url and the machine's name. */
  ownNames?: readonly string[];
}

/**
 * Kinds of access:
 *
 * - `probe`: tells only that the worker is alive.
 * - `call`: runs a function.
 * - `metrics`: depends on argyle.metrics_token.
 * - `page`: a static file of the dashboard, without data of the worker.
 * - `closed`: needs the token.
 */
export type Access = 'probe' | 'call' | 'metrics' | 'page' | 'closed';

const PROBES = new Set(['/status', '/healthz', '/readyz']);

/** Returns the kind of access of a decoded path. Pure. */
export function accessOf(path: string): Access {
  if (PROBES.has(path)) return 'probe';
  if (path === '/run' || path.startsWith('/run/')) return 'call';
  if (isPage(path)) return 'page';
  return path === '/metrics' ? 'metrics' : 'closed';
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** Whether a request has more than one Host header. Node keeps the first and drops the others without an error. */
function hasTwoHosts(raw: readonly string[]): boolean {
  let hosts = 0;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i];
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++;
  }
  return hosts > 1;
}

/** Whether a request declares a body. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
}

/** The token of an Authorization field; '' without one. The scheme's name is not case-sensitive (RFC 9110, 11.1). */
function bearerToken(field = ''): string {
  return /^bearer +(.*)$/is.exec(field)?.[1] ?? '';
}

/** Checks the requests of one worker. */
export class AccessCheck {
  private readonly hosts: KnownHosts;
  private readonly origins: readonly string[];
  private readonly expected: Buffer;

  constructor(private readonly settings: AccessSettings) {
    this.hosts = new KnownHosts(settings.ownNames ?? [], settings.allowedHosts ?? '');
    this.origins = nameList(settings.allowedOrigins ?? '');
    this.expected = digest(settings.adminToken);
  }

  /** Checks a request and answers it when it is refused. @returns whether the request is admitted */
  admit(req: IncomingMessage, res: ServerResponse): boolean {
    // Most requests are invocations. Their paths begin with /run/, so this comparison saves the decoding.
    const target = req.url ?? '/';
    const plain = target.startsWith('/run/') && !target.includes('..');
    const refusal = this.refusal(req, plain ? 'call' : accessOf(decodePath(splitTarget(target).path)));
    if (refusal === undefined) return true;
    if (refusal.code === 'UNAUTHORIZED') res.setHeader('WWW-Authenticate', 'Bearer');
    // The worker does not read the rest of the body.
    if (hasBody(req)) res.setHeader('Connection', 'close');
    const isCall = plain || accessOf(decodePath(splitTarget(target).path)) === 'call';
    sendThrown(res, refusal, isCall ? { [REQUEST_ID]: requestIdOf(req.headers['x-request-id']) } : {});
    return false;
  }

  private refusal(req: IncomingMessage, access: Access): ArgyleError | undefined {
    if (hasTwoHosts(req.rawHeaders)) {
      return new ArgyleError('REQUEST_INVALID', 'the request has more than one Host header', { field: 'Host' });
    }
    if (access === 'probe') return undefined;
    return this.strange(req, access) ?? this.unauthorized(req, access);
  }

  private strange({ headers, method }: IncomingMessage, access: Access): ArgyleError | undefined {
    const { host, origin, 'sec-fetch-site': siteHeader } = headers;
    if (!this.hosts.accepts(host)) {
      const shown = (host ?? '').slice(0, 100);
      const hint = `"${shown}" is no name of this worker: add it to argyle.allowed_hosts`;
      return new ArgyleError('HOST_REFUSED', `Host ${hint}`, { field: 'Host', value: shown });
    }
    const site = typeof siteHeader === 'string' ? siteHeader : undefined;
    const visitable = access === 'call' || access === 'page';
    const isVisit = visitable && method === 'GET' && headers['sec-fetch-mode'] === 'navigate';
    if (!isCrossSite({ site, origin, host, isVisit }, this.origins)) return undefined;
    const from = origin?.slice(0, 100) ?? 'unknown';
    const message = `a page of another origin (${from}) sent this request: add the origin to argyle.allowed_origins`;
    return new ArgyleError('CROSS_SITE', message, { field: 'Origin', value: from });
  }

  private unauthorized({ headers }: IncomingMessage, access: Access): ArgyleError | undefined {
    const { adminToken, metricsToken = false } = this.settings;
    if (adminToken === '' || access === 'call' || access === 'page' || (access === 'metrics' && !metricsToken))
      return undefined;
    // Digests have a fixed length, so the comparison does not reveal the token's length.
    if (timingSafeEqual(digest(bearerToken(headers.authorization)), this.expected)) return undefined;
    const hint = 'this worker asks for its argyle.admin_token: send Authorization: Bearer <token>';
    return new ArgyleError('UNAUTHORIZED', hint);
  }
}
