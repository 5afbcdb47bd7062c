/** Treats paths as Go's ServeMux does: redirects unclean paths, and answers unknown paths with the 404 of Go. */
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { sendError, sendText } from './replies';

/** Subtrees that get a redirect when their trailing slash is missing. */
const SUBTREES = ['/run', '/registry'];

/** Splits a request target into path and query. The target may be in absolute form. */
export function splitTarget(target: string): { path: string; query: string } {
  const origin = /^[a-z][a-z0-9+.-]*:\/\/[^/?]*/i.exec(target);
  const local = origin === null ? target : target.slice(origin[0].length);
  const mark = local.indexOf('?');
  const path = mark < 0 ? local : local.slice(0, mark);
  return { path: path.startsWith('/') ? path : `/${path}`, query: mark < 0 ? '' : local.slice(mark) };
}

/** Removes empty, `.` and `..` segments. A trailing slash stays. */
export function cleanPath(path: string): string {
  const out: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '..') out.pop();
    else if (segment !== '' && segment !== '.') out.push(segment);
  }
  // As in Go: "/a/" keeps its slash, while "/a/." and "/a/.." end without one.
  const slash = path.endsWith('/') && out.length > 0 ? '/' : '';
  return `/${out.join('/')}${slash}`;
}

/** Go's http.Redirect: only GET gets a body. */
function redirect(req: Request, res: Response, location: string): void {
  const headers = { Location: location };
  const html = { ...headers, 'Content-Type': 'text/html; charset=utf-8' };
  const anchor = `<a href="${escapeHtml(location)}">Moved Permanently</a>.\n\n`;
  if (req.method === 'GET' || req.method === 'HEAD') sendText(res, 301, anchor, html);
  else sendText(res, 301, '', headers);
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&#34;')
    .replaceAll("'", '&#39;');
}

/** Decodes percent-encoding of any byte, as Go does. Invalid UTF-8 becomes U+FFFD. */
export function decodePath(path: string): string {
  if (!path.includes('%')) return path;
  return path.replace(/(?:%[0-9a-f]{2})+/gi, (run) => Buffer.from(run.replaceAll('%', ''), 'hex').toString('utf8'));
}

/** Middleware that runs before all routes. */
export function muxRedirects(): RequestHandler {
  return (req: Request, res: Response, next: NextFunction) => {
    const { path, query } = splitTarget(req.url);
    if (/%(?![0-9a-f]{2})/i.test(path)) {
      sendText(res, 400, '400 Bad Request', { Connection: 'close' });
      return;
    }
    const clean = cleanPath(path);
    if (SUBTREES.includes(clean)) redirect(req, res, `${clean}/${query}`);
    else if (clean !== path) redirect(req, res, clean + query);
    else next();
  };
}

/** Middleware that runs after all routes. */
export function muxNotFound(): RequestHandler {
  return (_req: Request, res: Response) => {
    sendError(res, 404, '404 page not found');
  };
}
