/** docs/python.md: each line of its table names an existing test, and each case has a line. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PYTHON_CASES } from '../../support/python-cases';

const page = readFileSync(join(__dirname, '../../../docs/python.md'), 'utf8');

/** The cells of the table under the last heading. */
const rows = page
  .slice(page.lastIndexOf('\n## '))
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  )
  .slice(2);

test('every line states whether the feature works, or why not', () => {
  expect(rows.length).toBeGreaterThan(10);
  for (const [what, works, how] of rows) {
    expect([what, works]).toEqual([expect.stringMatching(/\S/), expect.stringMatching(/^(yes|no)$/)]);
    if (works === 'no') expect(how).toMatch(/\S/);
  }
});

test('every line has a test, and every test has a line', () => {
  const named = rows.map((cells) => /^`(.+)`$/.exec(cells[3] ?? '')?.[1]);
  expect(named.sort()).toEqual(PYTHON_CASES.map(({ name }) => name).sort());
});
