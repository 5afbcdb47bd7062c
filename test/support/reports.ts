/** What a running worker reports of itself. */
import type { ZygoteReport } from '../../src/zygote/policy/types';

const text = async (url: string): Promise<string> => (await fetch(url)).text();

/** The text of /metrics. */
export const metrics = (worker: string): Promise<string> => text(`${worker}/metrics`);

/** The text of /debug. */
export const debug = (worker: string): Promise<string> => text(`${worker}/debug`);

/** The zygotes of /zygotes. */
export async function zygotes(worker: string): Promise<ZygoteReport['zygotes']> {
  return (JSON.parse(await text(`${worker}/zygotes`)) as ZygoteReport).zygotes;
}

/** Host pids of the first processes of a function's sandboxes. */
export async function guestPids(worker: string, name: string): Promise<number[]> {
  const own = (await debug(worker)).split('--------\n').filter((part) => part.includes(`-${name}\n`));
  return own.flatMap((part) => /\(first (\d+)\)/.exec(part)?.slice(1).map(Number) ?? []);
}
