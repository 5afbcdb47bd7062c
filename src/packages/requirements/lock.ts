/**
 * requirements.lock: the complete pins of a function with hashes, in pip's format. The first line identifies the
 * inputs. A lock with outdated inputs is ignored.
 */
import { createHash } from 'node:crypto';
import { ArgyleError } from '../../errors';
import { normalizeLine } from '../../config/package-names';
import { MAX_REQUIREMENTS, parseSpec } from './requirements';
import type { Pin } from '../install/tools';

/** Name of the lock in a function's folder and archive. */
export const LOCK_FILE = 'requirements.lock';
/** Largest accepted lock, bytes. 1,000 packages with about 40 hashes each take 4 MB. */
export const MAX_LOCK_BYTES = 8 << 20;

/** First line of a lock. `from` is lockKey() of its inputs. */
const HEADER = /^# argyle lock of ([0-9a-f]{64}) for python (\d+\.\d+)$/;

export interface Lock {
  pins: Pin[];
  /** lockKey() of the inputs. */
  from: string;
  /** Python version, e.g. `3.11`. */
  python: string;
}

/** Identifies the inputs of a lock: texts of requirements files, in a fixed order. */
export function lockKey(...texts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const text of texts) hash.update(`${Buffer.byteLength(text)}\n`).update(text);
  return hash.digest('hex');
}

/**
 * Parses pins in pip's format, as resolvers print them.
 * @param where names the source in errors
 * @throws ArgyleError REQUIREMENT_INVALID for a line that is not a pin
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

/** The contract's form: one literal pin per line. */
export function pinLines(pins: readonly Pin[]): string {
  return pins.map(({ spec }) => `${spec}\n`).join('');
}

export function formatLock({ pins, from, python }: Lock): string {
  const body = pins.map(
    ({ spec, hashes }) => [spec, ...hashes.map((hash) => `    --hash=${hash}`)].join(' \\\n') + '\n',
  );
  return `# argyle lock of ${from} for python ${python}\n${body.join('')}`;
}

/** @returns undefined for a text without the lock's header. @throws ArgyleError REQUIREMENT_INVALID for a bad line */
export function parseLock(text: string): Lock | undefined {
  const [first = ''] = text.split('\n', 1);
  const [, from, python] = HEADER.exec(first.trim()) ?? [];
  if (from === undefined || python === undefined) return undefined;
  return { from, python, pins: parsePins(text, LOCK_FILE) };
}
