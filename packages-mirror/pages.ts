/** The files of a mirror and the pages of its index (PEP 503 as HTML, PEP 691 as JSON). Has no network code. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface MirrorFile {
  fileName: string;
  /** Normalised name of the file's project. */
  project: string;
  sha256: string;
  bytes: Buffer;
}

export const JSON_TYPE = 'application/vnd.pypi.simple.v1+json';

/** PEP 503: lower case, and each run of `-`, `_` and `.` becomes one `-`. */
export function normalizeProject(name: string): string {
  return name.toLowerCase().replace(/[-_.]+/g, '-');
}

/** The project of a wheel or source distribution; undefined for other files. */
export function projectOf(fileName: string): string | undefined {
  const match =
    /^([^-]+)-[^-]+(?:-[^-]+)?-[^-]+-[^-]+-[^-]+\.whl$/.exec(fileName) ?? /^(.+)-[^-]+\.tar\.gz$/.exec(fileName);
  return match?.[1] === undefined ? undefined : normalizeProject(match[1]);
}

/** Reads all packages of a directory into memory. The samples are small. Throws when the directory cannot be read. */
export function loadFiles(dir: string): MirrorFile[] {
  const files: MirrorFile[] = [];
  for (const fileName of readdirSync(dir).sort()) {
    const project = projectOf(fileName);
    if (project === undefined) continue;
    const bytes = readFileSync(join(dir, fileName));
    files.push({ fileName, project, bytes, sha256: createHash('sha256').update(bytes).digest('hex') });
  }
  return files;
}

/** The page at /simple/. */
export function rootPage(files: readonly MirrorFile[], json: boolean): string {
  const projects = [...new Set(files.map(({ project }) => project))];
  if (json) return JSON.stringify({ meta: { 'api-version': '1.0' }, projects: projects.map((name) => ({ name })) });
  return page(
    'Simple index',
    projects.map((name) => [`/simple/${name}/`, name]),
  );
}

/** The page at /simple/<project>/; undefined for an unknown project. */
export function projectPage(files: readonly MirrorFile[], project: string, json: boolean): string | undefined {
  const own = files.filter((file) => file.project === project);
  if (own.length === 0) return undefined;
  if (!json) {
    const links = own.map(({ fileName, sha256 }) => [
      `/packages/${encodeURIComponent(fileName)}#sha256=${sha256}`,
      fileName,
    ]);
    return page(`Links for ${project}`, links as [string, string][]);
  }
  return JSON.stringify({
    meta: { 'api-version': '1.0' },
    name: project,
    files: own.map(({ fileName, sha256 }) => ({
      filename: fileName,
      url: `/packages/${encodeURIComponent(fileName)}`,
      hashes: { sha256 },
    })),
  });
}

function page(title: string, links: [href: string, text: string][]): string {
  const body = links.map(([href, text]) => `<a href="${escapeHtml(href)}">${escapeHtml(text)}</a><br>\n`).join('');
  const head = `<meta name="pypi:repository-version" content="1.0"><title>${escapeHtml(title)}</title>`;
  return `<!DOCTYPE html>\n<html><head>${head}</head>\n<body>\n${body}</body></html>\n`;
}

function escapeHtml(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/g, (char) => entities[char] ?? char);
}
