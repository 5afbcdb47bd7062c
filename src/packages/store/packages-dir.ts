/**
 * The layout of Pkgs_dir:
 *
 *   <spec>                link to the package's place in the store; these links list the installed packages
 *   .store/<32 hex>/      a package: `files/` and the marker; sandboxes see .store as /runtime/store
 *   .stage-<pid>-<hex>/   an install in progress, or a directory that is being deleted
 *   .locks/               see lock-store.ts
 *
 * Only the worker's user has access to Pkgs_dir, so that other users of the host cannot reach an installer's files,
 * whatever mode those have. The store is searchable but not listable (0711). A sandbox sees the store without its
 * parents, and can reach only those packages whose names it knows.
 */
import { chmodSync, lstatSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ArgyleError } from '../../errors';

const STORE_NAME = '.store';
const CLOSED = 0o700;
const PASSABLE = 0o711;

/** The store of a Pkgs_dir. */
export const storeOf = (pkgsDir: string): string => join(pkgsDir, STORE_NAME);

/** Target of a package's link, and the reverse conversion to its place in the store. */
export const linkTo = (place: string): string => `${STORE_NAME}/${place}`;
export const placeIn = (link: string): string | undefined => /^\.store\/([0-9a-f]{32})$/.exec(link)?.[1];

/**
 * Creates Pkgs_dir and its store, and removes other users' access. Also fixes directories of earlier versions. The
 * helper needs both directories.
 * @throws ArgyleError CONFIG_INVALID when it cannot be created or belongs to another user
 */
export function openPackagesDir(pkgsDir: string): void {
  try {
    mkdirSync(pkgsDir, { recursive: true, mode: CLOSED });
    setMode(pkgsDir, CLOSED);
    mkdirSync(storeOf(pkgsDir), { recursive: true });
    setMode(storeOf(pkgsDir), PASSABLE);
  } catch (cause) {
    const message = `Pkgs_dir "${pkgsDir}" cannot be made this user's own: ${(cause as Error).message}`;
    throw new ArgyleError('CONFIG_INVALID', message, { cause, field: 'Pkgs_dir', value: pkgsDir });
  }
}

function setMode(dir: string, mode: number): void {
  if ((lstatSync(dir).mode & 0o7777) !== mode) chmodSync(dir, mode);
}
