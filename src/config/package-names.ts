/** Normal forms of package names and versions, for requirements, zygote trees and the disk. Pure. */

/** PEP 503's normal form, in which package names are compared. */
export function normalizeName(name: string): string {
  return name.toLowerCase().replace(/[-_.]+/g, '-');
}

/** Applies the contract's rewriting to one line; '' for a line without content. */
export function normalizeLine(line: string): string {
  const [code = ''] = line.split('#');
  return code.replaceAll(' ', '').trim().toLowerCase().replaceAll('_', '-');
}

/**
 * Normal form of a release version by PEP 440: no leading v, no leading zeros, no trailing .0. Other versions stay
 * unchanged.
 */
export function normalizeVersion(version: string): string {
  const [, release = '', rest = ''] = /^v?([0-9.!]*)(.*)$/.exec(version.toLowerCase()) ?? [];
  if (!/^(\d+!)?\d+(\.\d+)*$/.test(release)) return version.toLowerCase();
  const [epoch, numbers] = release.includes('!') ? release.split('!') : ['0', release];
  const parts = (numbers ?? '').split('.').map((part) => part.replace(/^0+(?=\d)/, ''));
  while (parts.length > 1 && parts.at(-1) === '0') parts.pop();
  return `${Number(epoch) === 0 ? '' : `${epoch}!`}${parts.join('.')}${rest}`;
}
