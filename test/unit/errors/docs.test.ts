/** docs/errors.md lists exactly the existing errors, each with its status and meaning. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ERRORS } from '../../../src/errors';

test('docs/errors.md matches the table of errors', () => {
  const text = readFileSync(join(__dirname, '../../../docs/errors.md'), 'utf8');
  const rows = [...text.matchAll(/^\| `(\w+)`\s*\| (\d+)\s*\| (yes|no)\s*\| (.*?)\s*\|$/gm)];
  const listed = rows.map(([, code, status, retryable, about]) => [code, Number(status), retryable === 'yes', about]);
  const expected = Object.entries(ERRORS).map(([code, error]) => [code, error.status, error.retryable, error.about]);
  expect(listed).toEqual(expected);
});
