/** Passes the listening socket of a running worker to its successor, on both sides (docs/adr/0013). */
import { closeSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Express } from 'express';
import { libraryBeside, findHelper } from '../cli/paths';
import { replacePidFile, startOf } from '../cli/worker/process/pidfile';
import { addressOf, askWorker, noteDraining, type Offer } from '../cli/worker/process/takeover';
import type { Predecessor } from '../cli/services';
import type { Config } from '../config';
import { homeOf } from '../config/places';
import { ArgyleError, asArgyleError } from '../errors';
import { descriptorOf, type Listener } from '../event/http/listeners';
import { sendJson, sendText } from '../event/http/replies';
import { loadPassing, type Passing } from '../helper/passing';

const NAME = /^inbox\.\d+$/;
/** Express gives a string for a query key that occurs once. */
const text = (value: unknown): string => (typeof value === 'string' ? value : '');

const passingOf = (config: Config): Passing => loadPassing(libraryBeside(findHelper(config.argyle.helper)));

/** Runs `use` with the home's directory open. @throws ArgyleError LISTEN for a negative result */
function inHome(config: Config, passing: Passing, use: (dirFd: number) => number): number {
  const dirFd = passing.openDir(homeOf(config));
  const result = dirFd < 0 ? dirFd : use(dirFd);
  if (dirFd >= 0) closeSync(dirFd);
  if (result < 0) throw new ArgyleError('LISTEN', `the listening socket cannot be handed over: errno ${-result}`);
  return result;
}

/** The routes of /takeover. @param onDone is called when the successor serves */
export function handoverRoutes(config: Config, tcp: Listener, onDone: (pid: number) => void): (app: Express) => void {
  /** The process that may take the port. While this process runs, the worker offers the port to no other process. */
  let heir = { pid: 0, start: '' };
  const taken = (pid: number): boolean => heir.pid !== 0 && heir.pid !== pid && startOf(heir.pid) === heir.start;
  return (app) => {
    app.get('/takeover', (req, res) => {
      const pid = Number(text(req.query['pid']));
      const start = startOf(pid);
      const able = config.server_mode !== 'sock' && config.sandbox !== 'docker' && descriptorOf(tcp) !== undefined;
      if (!able || taken(pid) || text(req.query['address']) !== addressOf(config)) {
        sendText(res, 409, 'this worker must be stopped first\n');
        return;
      }
      if (pid !== 0 && start !== undefined) heir = { pid, start };
      const offer: Offer = { pid: process.pid, second: config.home !== undefined };
      sendJson(res, 200, offer);
    });
    app.post('/takeover/socket', (req, res) => {
      const [name, fd] = [text(req.query['name']), descriptorOf(tcp)];
      if (heir.pid === 0 || fd === undefined || !NAME.test(name)) {
        sendText(res, 409, 'nothing was promised\n');
        return;
      }
      try {
        const passing = passingOf(config);
        inHome(config, passing, (dirFd) => passing.give(dirFd, name, fd));
        sendText(res, 200, 'sent\n');
      } catch (thrown) {
        sendText(res, 500, `${asArgyleError('LISTEN', thrown).message}\n`);
      }
    });
    app.post('/takeover/done', (_req, res) => {
      if (heir.pid === 0) {
        sendText(res, 409, 'nothing was promised\n');
        return;
      }
      res.once('close', () => {
        onDone(heir.pid);
      });
      sendText(res, 200, 'stopping\n');
    });
  };
}

/** Fetches the listening socket of the running worker. @throws ArgyleError LISTEN */
export async function takeSocket(config: Config): Promise<number> {
  const name = `inbox.${process.pid}`;
  const path = join(homeOf(config), name);
  const passing = passingOf(config);
  rmSync(path, { force: true });
  const inbox = inHome(config, passing, (dirFd) => passing.inbox(dirFd, name));
  try {
    if ((await askWorker(homeOf(config), 'POST', `/takeover/socket?name=${name}`)) === undefined)
      throw new ArgyleError('LISTEN', 'the worker that runs does not hand its listening socket over');
    const fd = passing.take(inbox);
    if (fd < 0) throw new ArgyleError('LISTEN', `no listening socket arrived: errno ${-fd}`);
    return fd;
  } finally {
    closeSync(inbox);
    rmSync(path, { force: true });
  }
}

/** Makes this process the worker of its directory, and ends `old`. Both processes listen on the same socket. */
export async function takeOver(config: Config, old: Predecessor): Promise<void> {
  const home = homeOf(config);
  noteDraining(home, old.pid);
  replacePidFile(home);
  // The old worker still has its control socket. A worker that does not answer there gets SIGTERM.
  if ((await askWorker(home, 'POST', '/takeover/done')) !== undefined) return;
  try {
    process.kill(old.pid, 'SIGTERM');
  } catch {
    // The old worker has ended already.
  }
}
