/** Server-Timing (W3C): tells the client which phases a call spent its time in. */
import type { Call } from '../../lambda/serve/call/call';

export const SERVER_TIMING = 'Server-Timing';

/** Shortest reported wait for a body, ms. A body that arrives together with its header takes less. */
const BODY_MIN_MS = 0.1;

/** Milliseconds with three decimals. */
const ms = (value: number): number => Math.round(value * 1000) / 1000;

/**
 * Builds the value of the Server-Timing field. All durations are in ms.
 *
 * - `code`: the wait for the function's code, if there was one.
 * - `body`: the wait for the request's body, if there was one.
 * - `queue`: the wait for an instance.
 * - `start`: the start of the instance, with its cause and the kind of its zygote.
 * - `import`: the import of the handler at its first call.
 * - `handler`: the time until the head of the handler's answer.
 * - `total`: the whole time in the worker.
 *
 * Phases that a failed call did not reach are left out.
 * @param nowMs of performance.now()
 */
export function serverTiming(call: Call, nowMs = performance.now()): string {
  let text = '';
  if (call.codeMs > 0) text += `code;dur=${ms(call.codeMs)}, `;
  if (call.bodyMs > BODY_MIN_MS) text += `body;dur=${ms(call.bodyMs)}, `;
  if (call.start !== undefined) {
    text += `queue;dur=${ms(call.queueMs)}, start;desc=${startOf(call)};dur=${ms(call.startMs)}, `;
  }
  if (call.headMs > 0) {
    if (call.importMs > 0) text += `import;dur=${ms(call.importMs)}, `;
    text += `handler;dur=${ms(call.handlerMs)}, `;
  }
  return `${text}total;dur=${ms(nowMs - call.beganMs)}`;
}

function startOf({ start, tier }: Call): string {
  return tier === '' ? (start ?? '') : `${start ?? ''}-${tier}`;
}
