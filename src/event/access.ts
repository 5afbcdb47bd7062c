/**
 * Who may send a request at all. One check stands before every route of the worker, the short way of invocations
 * included. A path that nobody lists here is closed: a new route needs the token until it is declared open.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ArgyleError } from '../errors';
import { isCrossSite, KnownHosts, nameList } from './host-names';
import { decodePath, splitTarget } from './mux';
import { sendThrown } from './replies';

export interface AccessSettings {
  /** argyle.admin_token; '' asks for none. */
  adminToken: string;
  /** argyle.metrics_token: /metrics asks for the token, too. */
  metricsToken?: boolean;
  /** argyle.allowed_hosts. */
  allowedHosts?: string;
  /** argyle.allowed_origins. */
  allowedOrigins?: string;
  /** The worker's own names: worker_url, the machine's name. */
  ownNames?: readonly string[];
}

/** `probe`: says only that the worker lives. `call`: runs a function. `metrics`: as set. `closed`: needs the token. */
export type Access = 'probe' | 'call' | 'metrics' | 'closed';

const PROBES = new Set(['/status', '/healthz', '/readyz']);

/** What a decoded path gives access to. Pure. */
export function accessOf(path: string): Access {
  if (PROBES.has(path)) return 'probe';
  if (path === '/run' || path.startsWith('/run/')) return 'call';
  return path === '/metrics' ? 'metrics' : 'closed';
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/** True when a request names its host more than once. Node keeps the first and says nothing. */
function hasTwoHosts(raw: readonly string[]): boolean {
  let hosts = 0;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i];
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts++;
  }
  return hosts > 1;
}

/** Whether a request announces a body. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
}

/** Checks requests of one worker. */
export class AccessCheck {
  private readonly hosts: KnownHosts;
  private readonly origins: readonly string[];
  private readonly expected: Buffer;

  constructor(private readonly settings: AccessSettings) {
    this.hosts = new KnownHosts(settings.ownNames ?? [], settings.allowedHosts ?? '');
    this.origins = nameList(settings.allowedOrigins ?? '');
    this.expected = digest(`Bearer ${settings.adminToken}`);
  }

  /** Answers a request that is refused. @returns whether it may go on */
  admit(req: IncomingMessage, res: ServerResponse): boolean {
    // Invocations are most of all requests, and their paths begin as these do.
    const target = req.url ?? '/';
    const plain = target.startsWith('/run/') && !target.includes('..');
    const refusal = this.refusal(req, plain ? 'call' : accessOf(decodePath(splitTarget(target).path)));
    if (refusal === undefined) return true;
    if (refusal.code === 'UNAUTHORIZED') res.setHeader('WWW-Authenticate', 'Bearer');
    // What is left of the body is not worth reading.
    if (hasBody(req)) res.setHeader('Connection', 'close');
    sendThrown(res, refusal);
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
    const isVisit = access === 'call' && method === 'GET' && headers['sec-fetch-mode'] === 'navigate';
    if (!isCrossSite({ site, origin, host, isVisit }, this.origins)) return undefined;
    const from = origin?.slice(0, 100) ?? 'unknown';
    const message = `a page of another origin (${from}) sent this request: add the origin to argyle.allowed_origins`;
    return new ArgyleError('CROSS_SITE', message, { field: 'Origin', value: from });
  }

  private unauthorized({ headers }: IncomingMessage, access: Access): ArgyleError | undefined {
    const { adminToken, metricsToken = false } = this.settings;
    if (adminToken === '' || access === 'call' || (access === 'metrics' && !metricsToken)) return undefined;
    // Digests have one length, so the comparison tells nothing about the token's.
    if (timingSafeEqual(digest(headers.authorization ?? ''), this.expected)) return undefined;
    const hint = 'this worker asks for its argyle.admin_token: send Authorization: Bearer <token>';
    return new ArgyleError('UNAUTHORIZED', hint);
  }
}
