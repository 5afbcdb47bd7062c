/** A software-emulated guest is many times slower. */
const SLOWER = process.env['ARGYLE_VM'] === '1' ? 8 : 1;

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Looks again every few milliseconds until `holds` is true. @throws Error that names `what`, after `timeoutMs`. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, timeoutMs = 15_000): Promise<void> {
  const end = Date.now() + timeoutMs * SLOWER;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`waited ${timeoutMs * SLOWER} ms in vain: ${what}`);
    await sleep(10);
  }
}
