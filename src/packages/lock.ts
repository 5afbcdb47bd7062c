/**
 * requirements.lock: the complete set of pins of a function, with hashes, in pip's format, behind a line that says what
 * it was made from. A lock whose input has changed since does not count.
 */
import { createHash } from 'node:crypto';
import { ArgyleError } from '../errors';
import { MAX_REQUIREMENTS, normalizeLine, parseSpec } from './requirements';
import type { Pin } from './tools';

/** Name of the lock in a function's folder and archive. */
export const LOCK_FILE = 'requirements.lock';
/** Largest accepted lock, bytes: 1,000 packages with some 40 hashes each are 4 MB. */
export const MAX_LOCK_BYTES = 8 << 20;

/** The first line of a lock; `from` is lockKey() of its inputs. */
const HEADER = /^# argyle lock of ([0-9a-f]{64}) for python (\d+\.\d+)$/;

export interface Lock {
  pins: Pin[];
  /** lockKey() of the inputs. */
  from: string;
  /** Version of Python, `3.11`. */
  python: string;
}

/** Identifies what a lock is made from: texts of requirement files, in a fixed order. */
export function lockKey(...texts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const text of texts) hash.update(`${Buffer.byteLength(text)}\n`).update(text);
  return hash.digest('hex');
}

/**
 * Reads pins in pip's format, as resolvers print them.
 * @param where names the source in errors
 * @throws ArgyleError REQUIREMENT_INVALID for a line that is no pin
 */
export function parsePins(text: string, where: string): Pin[] {
  const lines = text
    .replaceAll(/\\\r?\n/g, ' ')
    .split(/\r?\n/)
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .filter((line) => line !== '');
  if (lines.length > MAX_REQUIREMENTS) {
    throw new ArgyleError('REQUIREMENT_INVALID', `${where}: more than ${MAX_REQUIREMENTS} packages`, { field: where });
  }
  return lines.map((line) => {
    const [code = '', ...hashes] = line.split(/\s+--hash[=\s]/);
    const spec = normalizeLine(code);
    const { version } = parseSpec(spec, where);
    if (version === undefined) {
      const message = `${where}: ${JSON.stringify(code)} is no pin; expected NAME==VERSION`;
      throw new ArgyleError('REQUIREMENT_INVALID', message, { field: where, value: code });
    }
    return { spec, hashes: hashes.map((hash) => hash.trim().toLowerCase()) };
  });
}

/** The contract's form: one literal pin a line. */
export function pinLines(pins: readonly Pin[]): string {
  return pins.map(({ spec }) => `${spec}\n`).join('');
}

export function formatLock({ pins, from, python }: Lock): string {
  const body = pins.map(
    ({ spec, hashes }) => [spec, ...hashes.map((hash) => `    --hash=${hash}`)].join(' \\\n') + '\n',
  );
  return `# argyle lock of ${from} for python ${python}\n${body.join('')}`;
}

/** @returns undefined for a text that is no lock of this kind. @throws ArgyleError REQUIREMENT_INVALID for a bad line */
export function parseLock(text: string): Lock | undefined {
  const [first = ''] = text.split('\n', 1);
  const [, from, python] = HEADER.exec(first.trim()) ?? [];
  if (from === undefined || python === undefined) return undefined;
  return { from, python, pins: parsePins(text, LOCK_FILE) };
}
