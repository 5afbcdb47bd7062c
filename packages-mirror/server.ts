/** Serves a directory of packages as a package index for pip. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { JSON_TYPE, loadFiles, type MirrorFile, normalizeProject, projectPage, rootPage } from './pages';

export interface MirrorOptions {
  /** Directory of wheels and source distributions. It is read once. */
  dir: string;
  /** Address to listen on; default: loopback. */
  host?: string;
  /** 0 for any free port. */
  port?: number;
  /** Called with method, path and status of each request. */
  onRequest?: (method: string, path: string, status: number) => void;
}

export interface Mirror {
  /** Value for pip's --index-url. */
  url: string;
  close(): Promise<void>;
}

interface Answer {
  status: number;
  type?: string;
  location?: string;
  body?: string | Buffer;
}

/** Starts a mirror. Rejects when the directory cannot be read or the port is in use. */
export async function startMirror(options: MirrorOptions): Promise<Mirror> {
  const files = loadFiles(options.dir);
  const server = createServer((request, response) => {
    const answer = respond(files, request);
    send(request, response, answer);
    options.onRequest?.(request.method ?? '', request.url ?? '', answer.status);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, options.host ?? '127.0.0.1', resolve);
  });
  const { address, port, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}/simple/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

function respond(files: readonly MirrorFile[], request: IncomingMessage): Answer {
  if (request.method !== 'GET' && request.method !== 'HEAD') return { status: 405, body: 'only GET and HEAD\n' };
  const [path = '/'] = (request.url ?? '/').split('?');
  const json = (request.headers.accept ?? '').includes(JSON_TYPE);
  const type = json ? JSON_TYPE : 'text/html; charset=utf-8';
  if (path === '/' || path === '/simple') return { status: 301, location: '/simple/' };
  if (path === '/simple/') return { status: 200, type, body: rootPage(files, json) };

  const project = /^\/simple\/([A-Za-z0-9._-]+)(\/?)$/.exec(path);
  if (project?.[1] !== undefined) {
    const name = normalizeProject(project[1]);
    if (name !== project[1] || project[2] === '') return { status: 301, location: `/simple/${name}/` };
    const body = projectPage(files, name, json);
    if (body !== undefined) return { status: 200, type, body };
  }
  const file = files.find(({ fileName }) => path === `/packages/${encodeURIComponent(fileName)}`);
  if (file !== undefined) return { status: 200, type: 'application/octet-stream', body: file.bytes };
  return { status: 404, body: 'no such project or file\n' };
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  const body = Buffer.from(answer.body ?? '');
  response.writeHead(answer.status, {
    'content-type': answer.type ?? 'text/plain; charset=utf-8',
    'content-length': body.length,
    ...(answer.location === undefined ? {} : { location: answer.location }),
    ...(answer.status === 405 ? { allow: 'GET, HEAD' } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
