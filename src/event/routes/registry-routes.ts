/** `/registry/…`: lists, stores, removes and describes functions. */
import type { Request, RequestHandler, Response } from 'express';
import type { InstallWhen } from '../../config/types';
import { ArgyleError, asArgyleError } from '../../errors';
import { configJson, type LambdaConfig } from '../../lambda/code/lambda-config';
import { checkLambdaName } from '../../lambda/code/name';
import { decodePath, splitTarget } from '../http/mux';
import type { EventLog, FunctionRegistry } from '../ports';
import { logFailure, sendError, sendJson, sendText, sendThrown } from '../http/replies';

const PREFIX = '/registry/';

export function registryRoute(registry: FunctionRegistry, log: EventLog): RequestHandler {
  return async (req: Request, res: Response) => {
    const rest = decodePath(splitTarget(req.url).path).slice(PREFIX.length);
    const [name = '', sub, ...more] = rest.split('/');
    try {
      if (rest === '') list(req, res, registry);
      else if (more.length === 0 && sub === 'config') await config(req, res, registry, name);
      else if (more.length === 0 && sub === 'install') install(req, res, registry, name);
      else if (sub !== undefined) sendError(res, 404, '404 page not found');
      else if (req.method === 'POST') await upload(req, res, registry, name, log);
      else if (req.method === 'DELETE') await remove(res, registry, name);
      else if (req.method === 'GET') notImplemented(req, res, log);
      else notAllowed(res);
    } catch (thrown) {
      // A bad name is a client error here, whereas /run answers 500.
      const error = asArgyleError('INTERNAL', thrown);
      const isBadName = error.code === 'LAMBDA_NAME';
      logFailure(log, error, { method: req.method, lambda: name.slice(0, 200) }, isBadName ? 400 : error.status);
      if (isBadName) sendError(res, 400, error.message, error.code);
      else sendThrown(res, error);
    }
  };
}

function notImplemented(req: Request, res: Response, log: EventLog): void {
  log.warn({ method: req.method, status: 501 }, 'not implemented');
  sendError(res, 501, 'not implemented');
}

function notAllowed(res: Response): void {
  sendError(res, 405, 'method not allowed');
}

function list(req: Request, res: Response, registry: FunctionRegistry): void {
  if (req.method === 'GET' || req.method === 'HEAD') sendJson(res, 200, registry.list());
  else notAllowed(res);
}

async function upload(
  req: Request,
  res: Response,
  registry: FunctionRegistry,
  name: string,
  log: EventLog,
): Promise<void> {
  checkLambdaName(name);
  try {
    registry.checkLength(Number(req.headers['content-length'] ?? 0));
    await registry.upload(name, req, installWhen(req));
    if (new URLSearchParams(splitTarget(req.url).query).get('fresh') === '1') registry.refresh?.(name);
    sendText(res, 201, `Lambda ${name} uploaded successfully`);
  } catch (thrown) {
    if (thrown instanceof ArgyleError && thrown.code === 'REQUEST_INVALID') sendThrown(res, thrown);
    else if (thrown instanceof ArgyleError && thrown.code === 'UPLOAD_TOO_LARGE') {
      // The worker does not read the rest of the upload.
      res.setHeader('Connection', 'close');
      sendThrown(res, thrown);
    } else if (thrown instanceof ArgyleError) {
      sendError(res, 500, `Failed to add lambda: ${thrown.message}`, thrown.code);
      logFailure(log, thrown, { method: req.method, lambda: name.slice(0, 200) }, 500);
    } else throw thrown;
  }
}

/** Parses `?install=wait|background|lazy`. @throws ArgyleError REQUEST_INVALID */
function installWhen(req: Request): InstallWhen | undefined {
  const value = new URLSearchParams(splitTarget(req.url).query).get('install');
  if (value === null || value === 'wait' || value === 'background' || value === 'lazy') return value ?? undefined;
  const message = `install must be wait, background or lazy (current=${JSON.stringify(value.slice(0, 50))})`;
  throw new ArgyleError('REQUEST_INVALID', message, { field: 'install', value: value.slice(0, 50) });
}

function install(req: Request, res: Response, registry: FunctionRegistry, name: string): void {
  if (req.method !== 'GET' && req.method !== 'HEAD') {
    notAllowed(res);
    return;
  }
  const state = registry.installOf(name);
  if (state === undefined) sendError(res, 404, `lambda ${name} was not uploaded to this worker`, 'LAMBDA_NOT_FOUND');
  else sendJson(res, 200, state);
}

async function remove(res: Response, registry: FunctionRegistry, name: string): Promise<void> {
  await registry.remove(name);
  sendText(res, 200, `Lambda ${name} deleted successfully`);
}

/** The settings in force, if the query has `in_force=1`. Any other answer has only the original's keys. */
function settingsOf(req: Request, registry: FunctionRegistry, found: LambdaConfig): object {
  const isAsked = new URLSearchParams(splitTarget(req.url).query).get('in_force') === '1';
  return isAsked ? { InForce: registry.settingsOf?.(found) } : {};
}

async function config(req: Request, res: Response, registry: FunctionRegistry, name: string): Promise<void> {
  if (req.method !== 'GET' && req.method !== 'HEAD') {
    notAllowed(res);
    return;
  }
  const found = await registry.config(name);
  if (found === undefined) sendError(res, 404, `lambda ${name} not found`, 'LAMBDA_NOT_FOUND');
  else sendJson(res, 200, { ...configJson(found), ...settingsOf(req, registry, found) });
}
