import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Ports below those that the kernel gives to listeners and clients without a port of their own. Each process of tests
 * has a block, so that no other test takes a free port before its worker listens on it.
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

/** A free port of the loopback interface. Each call returns another one, until a block has been used up. */
export async function freePort(): Promise<number> {
  const first = FIRST + (process.pid % BLOCKS) * BLOCK;
  for (let tries = 0; tries < BLOCK; tries++) {
    const port = first + (asked++ % BLOCK);
    if (await isFree(port)) return port;
  }
  throw new Error(`none of the ports ${first} to ${first + BLOCK - 1} is free`);
}
