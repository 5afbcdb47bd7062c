/** The description of a sandbox in the answer of a failed call. */
import type { Sandbox } from '../../sandbox/types';

/** Longest wait for a description, in ms. An answer must not be delayed for longer. */
const DEBUG_MS = 1000;

/** Returns the lines of /debug about a sandbox. Never rejects, and takes at most DEBUG_MS. */
export async function describeSandbox(sandbox: Sandbox): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(resolve, DEBUG_MS, `SANDBOX ${sandbox.id} does not answer\n`);
  });
  const text = sandbox
    .debugString()
    .catch((thrown: unknown) => `SANDBOX ${sandbox.id}: ${thrown instanceof Error ? thrown.message : 'failed'}\n`);
  try {
    return await Promise.race([text, late]);
  } finally {
    clearTimeout(timer);
  }
}
