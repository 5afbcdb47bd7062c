/** URLs of servers. */

/** Listening addresses that are reachable on the loopback interface. */
const LOCAL = ['', 'localhost', '127.0.0.1', '0.0.0.0', '::', '::1'];

/** The URL of a server that listens on `host`. A wildcard address becomes localhost. Pure. */
export function urlOf(host: string, port: string): string {
  if (LOCAL.includes(host)) return `http://localhost:${port}`;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
