import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * The ports are below the range from which the kernel assigns ports. Each test process has its own block of ports, so
 * no other test takes a port before the worker listens on it.
 */
const FIRST = 12_000;
const BLOCKS = 200;
const BLOCK = 100;

let asked = 0;

async function isFree(port: number): Promise<boolean> {
  const probe = createServer().listen(port, '127.0.0.1');
  const listens = await once(probe, 'listening').then(
    () => true,
    () => false,
  );
  if (!listens) return false;
  probe.close();
  await once(probe, 'close');
  return true;
}

/** A free port of the loopback interface. Each call returns another port, until the block is used up. */
export async function freePort(): Promise<number> {
  const first = FIRST + (process.pid % BLOCKS) * BLOCK;
  for (let tries = 0; tries < BLOCK; tries++) {
    const port = first + (asked++ % BLOCK);
    if (await isFree(port)) return port;
  }
  throw new Error(`none of the ports ${first} to ${first + BLOCK - 1} is free`);
}
