/** The version of this Argyle. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** `version` of package.json, which is beside the compiled sources; `unknown` when it cannot be read. */
export function ownVersion(): string {
  try {
    const { version } = JSON.parse(readFileSync(join(__dirname, '../../package.json'), 'utf8')) as {
      version?: unknown;
    };
    return typeof version === 'string' ? version : 'unknown';
  } catch {
    return 'unknown';
  }
}
