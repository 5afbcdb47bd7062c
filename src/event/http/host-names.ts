/** The rules for Host and Origin values of a request. Pure, except for reading the machine's name. */
import { isIP } from 'node:net';

/**
 * Names that nobody can register: `localhost` (RFC 6761), `.local` (RFC 6762), `.home.arpa` (RFC 8375), and
 * `.internal`, which ICANN reserves for private use.
 */
const RESERVED = /(?:^|\.)(?:localhost|local|internal|home\.arpa)$/;

/** Syntax of a host name or an address with an optional port. Any other value is unknown. */
const HOST = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]*)(?::\d{0,5})?$/;

/** The name in a Host value, in lower case, without port, brackets and final dot; undefined for a malformed value. */
export function hostName(host: string): string | undefined {
  const name = HOST.exec(host.toLowerCase())?.[1];
  return name?.replace(/^\[|\]$/g, '').replace(/\.$/, '');
}

/** Parses `argyle.allowed_hosts` and `argyle.allowed_origins`: separated by commas or spaces, not case-sensitive. */
export function nameList(setting: string): string[] {
  return setting
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((name) => name !== '');
}

/**
 * Decides whether a Host value may name this worker.
 *
 * POLICY: DNS rebinding needs a name that an attacker can register and point at this machine. Addresses, reserved names
 * and names without a dot cannot be registered, so they pass. Names without a dot are those of containers, services and
 * machines of the same network. Any other name passes only if it is the worker's own or listed.
 */
export class KnownHosts {
  private readonly names: ReadonlySet<string>;
  private readonly suffixes: readonly string[];
  private readonly any: boolean;
  /** Values that have passed. A worker sees few different ones. */
  private readonly passed = new Set<string>();

  /** @param own names of this worker, e.g. worker_url and the machine's name @param allowed argyle.allowed_hosts */
  constructor(own: readonly string[], allowed: string) {
    const listed = nameList(allowed);
    this.any = listed.includes('*');
    this.suffixes = listed.filter((name) => name.startsWith('.'));
    this.names = new Set([...own, ...listed].map((name) => hostName(name) ?? ''));
  }

  /** @param host undefined for a request without Host, which only HTTP/1.0 allows */
  accepts(host: string | undefined): boolean {
    if (host === undefined || this.passed.has(host)) return true;
    if (!this.judge(host)) return false;
    if (this.passed.size < MAX_PASSED) this.passed.add(host);
    return true;
  }

  private judge(host: string): boolean {
    const name = hostName(host);
    if (this.any) return true;
    if (name === undefined) return false;
    if (!name.includes('.') || isIP(name) !== 0 || RESERVED.test(name)) return true;
    return this.names.has(name) || this.suffixes.some((suffix) => name.endsWith(suffix));
  }
}

/** Maximum number of remembered Host values. */
const MAX_PASSED = 256;

/** The origin of a request, as a browser reports it. */
export interface BrowserMarks {
  /** Sec-Fetch-Site. */
  site: string | undefined;
  origin: string | undefined;
  host: string | undefined;
  /**
   * True for a visit: a person follows a link or a redirect to the worker. Sec-Fetch-Mode is navigate and the method is
   * read-only.
   */
  isVisit?: boolean;
}

/**
 * Whether a browser sent this request for a page of another origin.
 *
 * POLICY: `same-site` counts as another origin, since all ports of localhost are the same site. A request without these
 * headers passes this check: it does not come from a browser, or the check of its Host value decides. A visit is
 * allowed, so that links to functions and sign-in redirects work: the person sees the answer, and the page with the
 * link does not.
 */
export function isCrossSite({ site, origin, host, isVisit }: BrowserMarks, allowed: readonly string[]): boolean {
  if (isVisit === true) return false;
  if (site === undefined && origin === undefined) return false;
  if (
    allowed.length > 0 &&
    (allowed.includes('*') || (origin !== undefined && allowed.includes(origin.toLowerCase())))
  ) {
    return false;
  }
  if (site !== undefined) return site !== 'same-origin' && site !== 'none';
  const authority = origin === undefined ? undefined : /^[a-z][a-z0-9+.-]*:\/\/([^/]*)$/i.exec(origin)?.[1];
  return authority === undefined || host === undefined || authority.toLowerCase() !== host.toLowerCase();
}
