/** The files and tests that pages name in code spans exist. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const ROOT = join(__dirname, '../../..');

/** Paths of all files below a directory with this ending, relative to the root. */
function files(dir: string, end: string): string[] {
  return readdirSync(join(ROOT, dir), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(end))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)));
}

const PAGES = ['README.md', 'ARCHITECTURE.md', 'SECURITY.md', ...files('docs', '.md')];
const TESTS = files('test', '.test.ts').map((path) => path.replace(/^test\//, '').replace(/\.test\.ts$/, ''));

/** The texts of the page's code spans that match the pattern. */
function spans(page: string, pattern: RegExp): string[] {
  const text = readFileSync(join(ROOT, page), 'utf8').replace(/```[^]*?```/g, '');
  const found = [...text.matchAll(/`([^`\n]+)`/g)].map(([, span = '']) => span);
  return [...new Set(found)].filter((span) => pattern.test(span));
}

test.each(PAGES)('the paths that %s names exist', (page) => {
  const named = spans(page, /^(?:src|sandbox-helper|test|configs|bench|packages-mirror)\/[\w./-]+$/);
  const isThere = (path: string) => existsSync(join(ROOT, path)) || TESTS.includes(path.replace(/^test\//, ''));
  expect(named.filter((path) => !isThere(path))).toEqual([]);
});

test.each(['SECURITY.md', 'docs/hostile-input.md'])('the tests that %s names exist', (page) => {
  const named = spans(
    page,
    /^(?:unit|integration|contract|e2e|helper|worker|tenants|escape|network|load|web)\/[\w-][\w/-]*$/,
  );
  const isThere = (name: string) =>
    TESTS.some((path) => `${path}/`.replace(/^e2e\//, '').startsWith(`${name.replace(/^e2e\//, '')}/`));
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter((name) => !isThere(name))).toEqual([]);
});
