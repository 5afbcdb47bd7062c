/** HTTP requests of commands. The client is loaded by the first request, because most commands send none. */
import type { Dispatcher, request as Request } from 'undici';

export type Response = Dispatcher.ResponseData;

/** undici's request(). Loading undici takes a third of the time in which `ol` starts. */
export async function request(...args: Parameters<typeof Request<null>>): Promise<Response> {
  return (await import('undici')).request(...args);
}
