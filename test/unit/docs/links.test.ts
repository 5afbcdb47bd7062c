/** Links lead to existing files, and the index lists every how-to. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const ROOT = resolve(__dirname, '../../..');

function pages(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    if (entry.isDirectory()) return pages(join(dir, entry.name));
    return entry.name.endsWith('.md') ? [join(dir, entry.name)] : [];
  });
}

const TOP = ['README.md', 'ARCHITECTURE.md', 'SECURITY.md', 'CHANGELOG.md'].map((name) => join(ROOT, name));

test.each([...TOP, ...pages(join(ROOT, 'docs'))].map((page) => relative(ROOT, page)))('%s has no dead link', (page) => {
  // Code may look like a link: `[a](b)`.
  const text = readFileSync(join(ROOT, page), 'utf8').replace(/```[^]*?```|`[^`\n]*`/g, '');
  const targets = [...text.matchAll(/\]\(([^)\s#]+)(?:#[^)\s]*)?\)/g)].map(([, target = '']) => target);
  const own = targets.filter((target) => !/^[a-z]+:/.test(target));
  expect(own.filter((target) => !existsSync(join(ROOT, dirname(page), target)))).toEqual([]);
});

/** The anchors of a page's headings, as GitHub and others make them. */
function anchors(page: string): string[] {
  const text = readFileSync(page, 'utf8').replace(/```[^]*?```/g, '');
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
}

test.each([...TOP, ...pages(join(ROOT, 'docs'))].map((page) => relative(ROOT, page)))(
  '%s links only to existing headings',
  (page) => {
    const text = readFileSync(join(ROOT, page), 'utf8').replace(/```[^]*?```|`[^`\n]*`/g, '');
    const targets = [...text.matchAll(/\]\(([^)\s#]*)#([^)\s]+)\)/g)].filter(([, file = '']) => !/^[a-z]+:/.test(file));
    const missing = targets.filter(([, file = '', anchor = '']) => {
      const target = file === '' ? join(ROOT, page) : join(ROOT, dirname(page), file);
      return !anchors(target).includes(anchor);
    });
    expect(missing.map(([link]) => link)).toEqual([]);
  },
);

test('docs/howto/README.md lists every page in its directory', () => {
  const dir = join(ROOT, 'docs/howto');
  const index = readFileSync(join(dir, 'README.md'), 'utf8');
  const missing = readdirSync(dir).filter((name) => name !== 'README.md' && !index.includes(`(${name})`));
  expect(missing).toEqual([]);
});

test('the files that how-tos name exist', () => {
  const text = pages(join(ROOT, 'docs/howto'))
    .map((page) => readFileSync(page, 'utf8'))
    .join('\n');
  const named = [...text.matchAll(/\b(?:configs|test|bench|packages-mirror)\/[\w./-]*\w/g)].map(([path]) => path);
  expect(named.length).toBeGreaterThan(5);
  expect([...new Set(named)].filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});
