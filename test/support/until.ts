/** A software-emulated guest is many times slower, so time limits are longer there. */
const SLOWER = process.env['ARGYLE_VM'] === '1' ? 8 : 1;

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Polls every few milliseconds until `holds` is true. @throws Error with `what` after `timeoutMs` */
export async function until(what: string, holds: () => boolean | Promise<boolean>, timeoutMs = 15_000): Promise<void> {
  const end = Date.now() + timeoutMs * SLOWER;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited ${timeoutMs * SLOWER} ms in vain: ${what}`);
    await sleep(10);
  }
}
