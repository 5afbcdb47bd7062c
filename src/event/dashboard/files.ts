/** The files of the dashboard's page. They are the same for every worker and contain no data of the worker. */

export interface PageFile {
  /** Path below `page/`. */
  file: string;
  type: string;
}

const JS = 'text/javascript; charset=utf-8';

/** Files by URL path. All links between the files are relative, so that a proxy may serve the worker below a path. */
export const PAGE_FILES: ReadonlyMap<string, PageFile> = new Map([
  ['/dashboard', { file: 'index.html', type: 'text/html; charset=utf-8' }],
  ['/dashboard/page.css', { file: 'page.css', type: 'text/css; charset=utf-8' }],
  ['/dashboard/icon.svg', { file: 'icon.svg', type: 'image/svg+xml' }],
  ['/dashboard/page.js', { file: 'page.js', type: JS }],
  ['/dashboard/stream.js', { file: 'stream.js', type: JS }],
  ['/dashboard/dom.js', { file: 'dom.js', type: JS }],
  ['/dashboard/functions.js', { file: 'functions.js', type: JS }],
  ['/dashboard/worker.js', { file: 'worker.js', type: JS }],
  ['/dashboard/errors.js', { file: 'errors.js', type: JS }],
]);

/** URL path of the page. `/dashboard` redirects here. */
export const WITH_SLASH = '/dashboard/';

/** Whether a path is a file of the page or redirects to one. */
export function isPage(path: string): boolean {
  return path === WITH_SLASH || PAGE_FILES.has(path);
}

/**
 * POLICY: the page loads nothing from other origins and runs no inline scripts. No other page may frame it.
 * `trusted-types` forbids turning text into markup, because names, logs and errors of functions are untrusted.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

/** Headers of every answer below /dashboard. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy': POLICY,
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-cache',
};
