import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  askPid,
  ownsPidFile,
  removePidFile,
  replacePidFile,
  startOf,
  waitForEnd,
  workerState,
  writePidFile,
} from '../../../../../src/cli/worker/process/pidfile';

let dir: string;
let child: ChildProcess | undefined;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'pid-'));
});

afterEach(() => {
  child?.kill('SIGKILL');
  child = undefined;
  rmSync(dir, { recursive: true, force: true });
});

async function sleeper(...args: string[]): Promise<number> {
  child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)', '--', ...args], { stdio: 'ignore' });
  await once(child, 'spawn');
  return child.pid ?? 0;
}

test('a missing directory is Uninitialized, a missing pid file is StoppedClean', async () => {
  expect(await workerState(join(dir, 'none'))).toEqual({ kind: 'Uninitialized' });
  expect(await workerState(dir)).toEqual({ kind: 'StoppedClean' });
});

test('the process that wrote the files is Running, and the pid file has no newline', async () => {
  writePidFile(dir);
  expect(readFileSync(join(dir, 'worker.pid'), 'utf8')).toBe(String(process.pid));
  expect(await workerState(dir)).toEqual({ kind: 'Running', pid: process.pid });
  expect(() => {
    writePidFile(dir);
  }).toThrow(/EEXIST/);
  removePidFile(dir);
  expect(await workerState(dir)).toEqual({ kind: 'StoppedClean' });
});

test('a dead pid, invalid text, pid 1 and an empty file are StoppedDirty', async () => {
  const pid = await sleeper();
  child?.kill('SIGKILL');
  await waitForEnd(pid, startOf(pid), 5000);
  for (const text of [String(pid), 'x', '', '1', '-1', '0']) {
    writeFileSync(join(dir, 'worker.pid'), text);
    expect([text, await workerState(dir)]).toEqual([text, { kind: 'StoppedDirty' }]);
  }
});

test('a later process with the same pid never counts as the worker', async () => {
  const pid = await sleeper('worker', 'up');
  writeFileSync(join(dir, 'worker.pid'), String(pid));
  writeFileSync(join(dir, 'worker.start'), 'another-boot 1');
  expect(await workerState(dir)).toEqual({ kind: 'StoppedDirty' });
});

test('without worker.start, the command line or the socket identifies the process', async () => {
  const stranger = await sleeper();
  writeFileSync(join(dir, 'worker.pid'), String(stranger));
  expect(await workerState(dir)).toEqual({ kind: 'StoppedDirty' });
  const server = createServer((_request, response) => response.end(`${stranger}\n`)).listen(join(dir, 'ol.sock'));
  await once(server, 'listening');
  expect(await askPid(dir)).toBe(stranger);
  expect(await workerState(dir)).toEqual({ kind: 'Running', pid: stranger });
  server.close();
  child?.kill('SIGKILL');
  const other = await sleeper('worker', 'up', '-p', 'x');
  writeFileSync(join(dir, 'worker.pid'), String(other));
  expect(await workerState(dir)).toEqual({ kind: 'Running', pid: other });
});

test('askPid is undefined without a socket, for another answer and without an answer', async () => {
  expect(await askPid(dir)).toBeUndefined();
  const server = createServer((_request, response) => response.end('hello')).listen(join(dir, 'ol.sock'));
  await once(server, 'listening');
  expect(await askPid(dir)).toBeUndefined();
  server.removeAllListeners('request');
  expect(await askPid(dir)).toBeUndefined();
  server.closeAllConnections();
  server.close();
});

test('startOf differs between processes and is undefined for dead ones', async () => {
  expect(startOf(process.pid)).toMatch(/^[0-9a-f-]{36} \d+$/);
  expect(startOf(2 ** 30)).toBeUndefined();
  const pid = await sleeper();
  expect(await waitForEnd(pid, startOf(pid), 100)).toBe(false);
  child?.kill('SIGKILL');
  expect(await waitForEnd(pid, startOf(pid), 5000)).toBe(true);
});

test('a process that takes over replaces the files of a running one, and then owns them', async () => {
  const pid = await sleeper('worker', 'up');
  writePidFile(dir, pid);
  expect(ownsPidFile(dir)).toBe(false);
  replacePidFile(dir);
  expect(ownsPidFile(dir)).toBe(true);
  expect(await workerState(dir)).toEqual({ kind: 'Running', pid: process.pid });
});
