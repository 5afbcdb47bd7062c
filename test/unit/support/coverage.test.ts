/** The list of statements that other tests than the contract's hold must name tests that are there. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Entry {
  section: number;
  statement: string;
  file: string;
  title: string;
}

const ROOT = join(__dirname, '../../..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const entries = JSON.parse(read('test/contract/elsewhere.json')) as Entry[];

test.each([...new Set(entries.map(({ file }) => file))])('%s has the tests that the list names', (file) => {
  expect(existsSync(join(ROOT, file))).toBe(true);
  const text = read(file);
  for (const { title } of entries.filter((entry) => entry.file === file)) expect(text).toContain(title);
});

test('docs/contract-coverage.md has every entry of the list (node test/contract/coverage.mjs)', () => {
  // Prettier may break lines and escape what Markdown would read otherwise.
  const plain = (text: string) => text.replaceAll(/[\s\\_*]+/g, '');
  const page = plain(read('docs/contract-coverage.md'));
  for (const { statement, file } of entries) expect(page).toContain(plain(`${statement}: \`${file}\``));
});
