/** Number flags, tables and labels of the zygote commands. Pure. */
import { CliError } from '../command';
import type { Flags, FlagSpec } from '../flags';

export function text(name: string, value: string, usage: string): FlagSpec {
  return { name, kind: 'string', value, usage };
}

/** The value of a number flag. @throws CliError with flag and value when it is not a number in the range */
export function numberOf(flags: Flags, name: string, min: number, max = Number.MAX_SAFE_INTEGER): number {
  return parseNumber(name, flags.string(name), min, max);
}

/** The value of a flag with comma-separated numbers. */
export function numbersOf(flags: Flags, name: string, min: number): number[] {
  return flags
    .string(name)
    .split(',')
    .map((part) => parseNumber(name, part, min, Number.MAX_SAFE_INTEGER));
}

function parseNumber(name: string, value: string, min: number, max: number): number {
  const number = value.trim() === '' ? NaN : Number(value);
  if (!(number >= min && number <= max)) {
    throw new CliError(`--${name} must be a number from ${min} to ${max}, not ${JSON.stringify(value)}`);
  }
  return number;
}

/** Lays out rows in columns. The first column is left-aligned, the others right-aligned. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return all.map((row) => `${row.map(pad).join('  ').trimEnd()}\n`).join('');
}

/** Labels a node by its packages, shortened: `pandas==2.1.0 numpy==1.26.0 +3`. */
export function packagesLabel(packages: readonly string[], most = 4): string {
  if (packages.length === 0) return '(root)';
  const shown = packages.slice(0, most).join(' ');
  return packages.length > most ? `${shown} +${packages.length - most}` : shown;
}
