/** Generates docs/config.md from the schema: `npm run docs:config`. */
import { writeFileSync } from 'node:fs';
import { z } from 'zod';
import { defaultConfig } from './defaults';
import { isObject } from './decode';
import { schema } from './schema';
import { metaOf } from './setting';

const HEADER = ['Key', 'Default', 'What it does'];

const INTRO = `# Settings

\`ol worker init\` writes \`config.json\` with the defaults below. DIR is the worker's directory. \`ol worker check-config\` lists
all errors of a file. \`ol worker up -o key=value,…\` sets keys for one start; the values may not hold commas, equals signs or
objects.

- Keys match in any case, at every level. Unknown keys are ignored with a warning. A value of another type than the
  default's is an error.
- A key that is missing or null is zero (\`0\`, \`false\`, \`""\` or \`{}\`), as in the original. Argyle's own keys, \`argyle.…\` and
  \`….scratch_mb\`, have their default.
- A key of \`installer_limits\` that is 0 has the value of \`limits\`.

This page is generated from \`src/config/schema.ts\` by \`npm run docs:config\`.
`;

const code = (value: unknown) =>
  value === '' ? '`""`' : `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;

function rowsOf(group: z.ZodObject, defaults: unknown, path: string): string[][] {
  return Object.entries(group.shape as Record<string, z.ZodType>).flatMap(([key, type]) => {
    const name = path + key;
    const value = isObject(defaults) ? defaults[key] : undefined;
    if (type instanceof z.ZodObject) return rowsOf(type, value, `${name}.`);
    const meta = metaOf(type);
    const shown = name === 'mem_pool_mb' ? 'max(total − 500, 500)' : code(value);
    return [[`\`${name}\``, shown, meta.about]];
  });
}

/** The text of docs/config.md: one table of all settings. */
export function renderConfigDocs(): string {
  const rows = [HEADER, ...rowsOf(schema, defaultConfig('DIR', 0), '')];
  const widths = HEADER.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  const line = (cells: string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`;
  const rule = line(widths.map((width) => '-'.repeat(width)));
  return [INTRO, line(HEADER), rule, ...rows.slice(1).map(line), ''].join('\n');
}

/** Writes the page to `path`. */
export function writeConfigDocs(path: string): void {
  writeFileSync(path, renderConfigDocs());
}
