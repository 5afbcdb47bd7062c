/**
 * The rules for the head of a guest's answer. Pure. Every byte of the head is untrusted. A head is a fault of the guest
 * when a client would reject the head or Node's HTTP server would refuse to write it. docs/hostile-input.md lists the
 * rules.
 */
import { BOOT_HEADER } from './boot-report';
import { FAILURE_HEADER } from './failure';

/** Limit for the names and values of a head, in bytes: four times the limit of Node's own client. */
export const MAX_HEAD_BYTES = 64 * 1024;
/** POLICY: limit for header fields. An honest application sends far fewer; this many take less than 1 ms. */
export const MAX_FIELDS = 1000;
/**
 * Limit for the reason phrase, in characters; a longer phrase is replaced. The longest registered phrase has 31
 * characters.
 */
const MAX_REASON = 128;

/** Fields that belong to one connection: RFC 9110 §7.6.1, and the older ones that Go's ReverseProxy drops. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** The worker sets this field, which names the call in the log; a guest cannot set it. */
const REQUEST_ID = 'x-request-id';

/** RFC 9110 §5.6.2, token. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110 §5.5: visible characters, blanks, and bytes above 127 (`obs-text`), here as latin1. */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const VISIBLE = /^[\x20-\x7e]*$/;
const LENGTH = /^\d{1,15}$/;

/** A checked head that can be written to a client unchanged. */
export interface AnswerHead {
  /** Status code, 200 to 999. */
  status: number;
  /** Printable ASCII; '' for the status's standard phrase. */
  reason: string;
  /** Raw list `[name, value, …]` in the guest's order, latin1, without fields that belong to the guest's connection. */
  headers: string[];
  /** Declared length of the body, bytes. */
  length: number | undefined;
  /** True when no body follows: an answer to HEAD, a 204 or a 304. */
  bodiless: boolean;
}

export interface ReadHead {
  head: AnswerHead;
  /** Value of the boot report's field, which `head` does not contain. */
  boot: string | undefined;
  /** Value of FAILURE_HEADER, which `head` does not contain; the answer is then a failure report. */
  failure: string | undefined;
  /** True for a 204 or 304: the answer ends with its head, whatever its fields declare. */
  complete: boolean;
}

/** Returns the names that Connection fields list, in lower case. */
export function connectionNamed(raw: readonly string[]): Set<string> | undefined {
  let named: Set<string> | undefined;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (raw[i]?.toLowerCase() !== 'connection') continue;
    for (const token of (raw[i + 1] as string).split(',')) (named ??= new Set()).add(token.trim().toLowerCase());
  }
  return named;
}

/**
 * Converts undici's raw headers to strings. Bytes above 127 are kept (latin1). Fields after the first one that readHead()
 * refuses are left out.
 */
export function rawStrings(raw: unknown): string[] {
  if (!Array.isArray(raw)) return [];
  return raw
    .slice(0, 2 * MAX_FIELDS + 2)
    .map((part: unknown) => (Buffer.isBuffer(part) ? part.toString('latin1') : String(part)));
}

/**
 * Checks the head of a final answer.
 * @param method method of the request
 * @param reason reason phrase as undici decoded it
 * @param raw list `[name, value, …]`, latin1
 * @returns the head, or a description of the fault
 */
export function readHead(method: string, status: number, reason: string, raw: readonly string[]): ReadHead | string {
  if (!Number.isInteger(status) || status < 200 || status > 999) return `status ${status}`;
  if (raw.length / 2 > MAX_FIELDS) return `more than ${MAX_FIELDS} header fields`;
  const bytes = raw.reduce((sum, { length }) => sum + length, 0);
  if (bytes >= MAX_HEAD_BYTES) return `a head of ${bytes} bytes`;
  const named = connectionNamed(raw);
  const empty = status === 204 || status === 304;
  const headers: string[] = [];
  let length: number | undefined;
  let boot: string | undefined;
  let failure: string | undefined;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] as string;
    const value = (raw[i + 1] as string).trim();
    const lower = name.toLowerCase();
    if (!TOKEN.test(name)) return `header name ${quoted(name)}`;
    if (!FIELD_VALUE.test(value)) return `value of header ${quoted(name)}`;
    if (lower === BOOT_HEADER) {
      boot ??= value;
      continue;
    }
    if (lower === FAILURE_HEADER) {
      failure ??= value;
      continue;
    }
    if (lower === 'transfer-encoding' && value.toLowerCase() !== 'chunked') return `transfer encoding ${quoted(value)}`;
    if (lower === REQUEST_ID || HOP_BY_HOP.has(lower) || named?.has(lower) === true) continue;
    // As in Go's server: the client must neither wait for a body nor read the next answer as one.
    if (empty && (lower === 'content-length' || (status === 304 && lower === 'content-type'))) continue;
    if (lower === 'content-length') {
      if (!LENGTH.test(value) || length !== undefined) return `content length ${quoted(value)}`;
      length = Number(value);
    }
    headers.push(name, value);
  }
  const plain = reason.length <= MAX_REASON && VISIBLE.test(reason);
  const head = { status, reason: plain ? reason : '', headers, length, bodiless: empty || method === 'HEAD' };
  return { head, boot, failure, complete: empty };
}

/** Quotes guest text as JSON and cuts it, so that it cannot fill an error message. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}
