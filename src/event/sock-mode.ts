/**
 * server_mode "sock": clients make and destroy sandboxes themselves. Every path is an operation; every error is a 500.
 */
import type { RequestListener } from 'node:http';
import type { Express, Request, RequestHandler } from 'express';
import { asArgyleError } from '../errors';
import type { SockRequest } from '../lambda/sock/sock-sandboxes';
import { decodePath, splitTarget } from './http/mux';
import type { EventLog } from './ports';
import { logFailure, sendError, sendText } from './http/replies';
import { addCommonRoutes, bodyRateOf, buildApp, guarded, type ServerDeps } from './server';

/** Makes and destroys sandboxes. Implemented by SockSandboxes. */
export interface SandboxTable {
  create(request: SockRequest): Promise<string>;
  destroy(id: string): Promise<void>;
  pause(id: string): Promise<void>;
  unpause(id: string): Promise<void>;
  debug(): Promise<string[]>;
}

export type SockServerDeps = Omit<ServerDeps, 'invoker' | 'triggers' | 'debug' | 'zygotes' | 'functionHost'> & {
  sandboxes: SandboxTable;
};

/** Maximum number of bytes of a request to /create. */
const MAX_CREATE_BYTES = 1 << 20;

/** A request on which the original would panic. The worker closes the connection without an answer. */
class Mistyped extends Error {}

function field<T>(args: Record<string, unknown>, name: string, fits: (value: unknown) => value is T, missing?: T): T {
  const value = args[name];
  if (value === undefined && missing !== undefined) return missing;
  if (!fits(value)) throw new Mistyped(name);
  return value;
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isFlag = (value: unknown): value is boolean => typeof value === 'boolean';
const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every(isText);

/**
 * Parses the body of /create.
 * @throws Mistyped for a missing or mistyped field; Error for invalid JSON or an unknown runtime
 */
export function parseCreate(body: string): SockRequest {
  // As in Go: an empty body and null both give a map without fields.
  const json: unknown = body === '' ? {} : (JSON.parse(body) ?? {});
  if (typeof json !== 'object' || Array.isArray(json)) throw new Error('the body is no JSON object');
  const args = json as Record<string, unknown>;
  const leaf = field(args, 'leaf', isFlag, true);
  const runtime = field(args, 'runtime', isText, 'python');
  if (runtime !== 'python' && runtime !== 'native') throw new Error(`No such runtime \`${runtime}\``);
  const code = field(args, 'code', isText);
  return { code, leaf, parent: field(args, 'parent', isText, ''), pkgs: field(args, 'pkgs', isTexts, []), runtime };
}

export function isMistyped(thrown: unknown): boolean {
  return thrown instanceof Mistyped;
}

async function readBody(req: Request): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of req.iterator({ destroyOnReturn: false })) {
    bytes += (chunk as Buffer).length;
    if (bytes > MAX_CREATE_BYTES) throw new Error(`the body is larger than ${MAX_CREATE_BYTES} bytes`);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function carryOut(req: Request, sandboxes: SandboxTable, gone: () => boolean): Promise<string> {
  if (req.method !== 'POST') throw new Error(`Only POST allowed (found ${req.method})`);
  const [op = '', id = ''] = decodePath(splitTarget(req.url).path).slice(1).split('/');
  switch (op) {
    case 'create': {
      const made = await sandboxes.create(parseCreate(await readBody(req)));
      // The client has left during the wait for memory, so nobody knows this sandbox's id.
      if (gone()) await sandboxes.destroy(made);
      return `${made}\n`;
    }
    case 'destroy':
      await sandboxes.destroy(id);
      return '';
    case 'pause':
      await sandboxes.pause(id);
      return '';
    case 'unpause':
      await sandboxes.unpause(id);
      return '';
    case 'debug':
      return (await sandboxes.debug()).map((text) => `${text}--------\n`).join('');
    default:
      throw new Error(`unknown op ${op}`);
  }
}

function sockRoute(sandboxes: SandboxTable, log: EventLog): RequestHandler {
  return async (req, res) => {
    let gone = false;
    res.on('close', () => {
      gone = !res.writableFinished;
    });
    try {
      sendText(res, 200, await carryOut(req, sandboxes, () => gone));
    } catch (thrown) {
      const error = asArgyleError('INTERNAL', thrown);
      if (isMistyped(thrown)) req.socket.destroy();
      else {
        sendError(res, 500, error.message, error.code);
        logFailure(log, error, { url: req.url.slice(0, 200) }, 500);
      }
    }
  };
}

/** The routes of sock mode, without the access check. */
export function sockApp(deps: SockServerDeps): Express {
  return buildApp(deps.log, bodyRateOf(deps), (app) => {
    addCommonRoutes(app, deps);
    app.use(sockRoute(deps.sandboxes, deps.log));
  });
}

/** The application of sock mode, with the access check. */
export function buildSockServer(deps: SockServerDeps): RequestListener {
  return guarded(deps, sockApp(deps));
}
