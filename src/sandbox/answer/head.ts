/**
 * The rules for the head of a guest's answer, pure. Every byte of it is hostile: what a client would not accept, and what
 * Node's HTTP server would refuse to write, is a fault of the guest. docs/hostile-input.md is the list of the rules.
 */
import { BOOT_HEADER } from './boot-report';
import { FAILURE_HEADER } from './failure';

/** Longest head (names and values of its fields), bytes; four times what Node's own client accepts. */
export const MAX_HEAD_BYTES = 64 * 1024;
/** POLICY: far above what an honest application sends, and few enough to be handled within a millisecond. */
export const MAX_FIELDS = 1000;
/** A longer reason phrase is replaced. The longest registered one has 31 characters. */
const MAX_REASON = 128;

/** RFC 9110 §7.6.1 and the older ones that Go's ReverseProxy drops too: they belong to one connection only. */
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

/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110 §5.5: visible characters, blanks, and bytes above 127 (`obs-text`), here as latin1. */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const VISIBLE = /^[\x20-\x7e]*$/;
const LENGTH = /^\d{1,15}$/;

/** A head that may be written to a client as it is. */
export interface AnswerHead {
  /** 200 to 999. */
  status: number;
  /** Printable ASCII; '' for the status's standard phrase. */
  reason: string;
  /** Raw list `[name, value, …]` in the guest's order, latin1, without fields that belong to the guest's connection. */
  headers: string[];
  /** Declared length of the body, bytes. */
  length: number | undefined;
  /** No body follows: an answer to HEAD, 204 or 304. */
  bodiless: boolean;
}

export interface ReadHead {
  head: AnswerHead;
  /** Value of the boot report's field, which is not in `head`. */
  boot: string | undefined;
  /** Value of the field that makes the answer the reason why there is none; not in `head`. */
  failure: string | undefined;
}

/** Names that Connection fields list, in lower case. */
export function connectionNamed(raw: readonly string[]): Set<string> | undefined {
  let named: Set<string> | undefined;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    if (raw[i]?.toLowerCase() !== 'connection') continue;
    for (const token of (raw[i + 1] as string).split(',')) (named ??= new Set()).add(token.trim().toLowerCase());
  }
  return named;
}

/** Undici's raw headers, buffers or strings, as strings; bytes above 127 stay what they are (latin1). */
export function rawStrings(raw: unknown): string[] {
  if (!Array.isArray(raw)) return [];
  return raw.map((part: unknown) => (Buffer.isBuffer(part) ? part.toString('latin1') : String(part)));
}

/**
 * Judges the head of a final answer.
 * @param method of the request
 * @param reason as undici decoded it
 * @param raw list `[name, value, …]`, latin1
 * @returns the head, or what is wrong with it
 */
export function readHead(method: string, status: number, reason: string, raw: readonly string[]): ReadHead | string {
  if (!Number.isInteger(status) || status < 200 || status > 999) return `status ${status}`;
  if (raw.length / 2 > MAX_FIELDS) return `more than ${MAX_FIELDS} header fields`;
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
    if (HOP_BY_HOP.has(lower) || named?.has(lower) === true) continue;
    // As Go's server: a client must not wait for a body, nor take what follows for one.
    if (empty && (lower === 'content-length' || (status === 304 && lower === 'content-type'))) continue;
    if (lower === 'content-length') {
      if (!LENGTH.test(value) || length !== undefined) return `content length ${quoted(value)}`;
      length = Number(value);
    }
    headers.push(name, value);
  }
  const plain = reason.length <= MAX_REASON && VISIBLE.test(reason);
  const head = { status, reason: plain ? reason : '', headers, length, bodiless: empty || method === 'HEAD' };
  return { head, boot, failure };
}

/** As JSON, cut: what a guest says must not fill an error. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}
