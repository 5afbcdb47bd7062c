/** The list of statements that tests outside of test/contract hold names existing tests. */
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

test('every entry has a section and a unique statement', () => {
  expect(entries.filter(({ section, statement }) => !(section >= 0 && section <= 9) || statement === '')).toEqual([]);
  const statements = entries.map(({ section, statement }) => `${String(section)} ${statement}`);
  expect(statements.filter((statement, index) => statements.indexOf(statement) !== index)).toEqual([]);
});

test('docs/contract-coverage.md counts every entry of the list (node test/contract/coverage.mjs)', () => {
  const rows = [...read('docs/contract-coverage.md').matchAll(/^\| (\d) [^|]*\|[^|]*\|[^|]*\| (\d+) +\|$/gm)];
  const counted = new Map(rows.map(([, section = '', count = '']) => [Number(section), Number(count)]));
  for (let section = 0; section <= 9; section++) {
    const expected = entries.filter((entry) => entry.section === section).length;
    expect([section, counted.get(section)]).toEqual([section, expected]);
  }
  expect(read('docs/contract-coverage.md')).toMatch(new RegExp(`^\\| all .*\\| ${String(entries.length)} +\\|$`, 'm'));
});
