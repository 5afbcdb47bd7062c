/** The optional token for requests that change what the worker runs. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { ArgyleError } from '../errors';
import { sendThrown } from './replies';

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

/**
 * Lets changing requests (all but GET and HEAD) pass only with `Authorization: Bearer <token>`.
 * @param token '' lets everything pass, as the original does
 */
export function requireToken(token: string): RequestHandler {
  const expected = digest(`Bearer ${token}`);
  return (req: Request, res: Response, next: NextFunction) => {
    const given = digest(req.headers.authorization ?? '');
    // Digests have one length, so the comparison tells nothing about the token's.
    if (token === '' || req.method === 'GET' || req.method === 'HEAD' || timingSafeEqual(given, expected)) {
      next();
      return;
    }
    res.setHeader('WWW-Authenticate', 'Bearer');
    const hint = 'this worker asks for its argyle.admin_token: send Authorization: Bearer <token>';
    sendThrown(res, new ArgyleError('UNAUTHORIZED', hint));
  };
}
