/** Reads DOCKER_HOST and related variables, and opens connections to that engine. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Agent } from 'undici';
import { ArgyleError } from '../../errors';

/** Address of the engine when DOCKER_HOST is empty. */
const DEFAULT_HOST = 'unix:///var/run/docker.sock';
const UNIX = 'unix://';
/** The engine's usual ports, without TLS and with it. */
const PORTS = { http: '2375', https: '2376' } as const;
/** Limit for connecting to an engine, in ms. */
const CONNECT_MS = 10_000;

export interface Endpoint {
  /** Name for display, as in DOCKER_HOST. */
  name: string;
  /** Base of the engine's URLs. */
  origin: string;
  /** Keeps connections open between requests. */
  dispatcher: Agent;
}

/** The environment variables of the connection. */
export type DockerVariables = Readonly<
  Partial<Record<'DOCKER_TLS_VERIFY' | 'DOCKER_CERT_PATH' | 'HOME', string | undefined>>
>;

function malformed(value: string, why: string, cause?: unknown): ArgyleError {
  const options = { field: 'DOCKER_HOST', value, cause };
  return new ArgyleError('CONFIG_INVALID', `DOCKER_HOST is malformed: ${value}: ${why}`, options);
}

/**
 * Reads the client certificates where the docker command finds them. @throws ArgyleError CONFIG_INVALID for unreadable
 * files
 */
function certificates({ DOCKER_CERT_PATH: given = '', HOME: home = '/' }: DockerVariables): Record<string, Buffer> {
  const dir = given === '' ? join(home, '.docker') : given;
  const read = (name: string): Buffer => {
    try {
      return readFileSync(join(dir, name));
    } catch (cause) {
      const options = { field: 'DOCKER_CERT_PATH', value: dir, cause };
      const message = `DOCKER_CERT_PATH: ${join(dir, name)} cannot be read: ${(cause as Error).message}`;
      throw new ArgyleError('CONFIG_INVALID', message, options);
    }
  };
  return { ca: read('ca.pem'), cert: read('cert.pem'), key: read('key.pem') };
}

/**
 * Finds the engine.
 * @param host value as in DOCKER_HOST: `unix://PATH`, `tcp://HOST:PORT`, `http://…`, `https://…`; '' is the default
 *   socket
 * @throws ArgyleError CONFIG_INVALID for other values, and for unreadable certificates
 */
export function findEndpoint(host: string, variables: DockerVariables = process.env): Endpoint {
  const name = host === '' ? DEFAULT_HOST : host;
  // Each request sets its own time limit.
  const options = { headersTimeout: 0, bodyTimeout: 0 };
  if (name.startsWith(UNIX)) {
    const socketPath = name.slice(UNIX.length);
    if (!socketPath.startsWith('/')) throw malformed(name, 'the path of the socket must be absolute');
    const dispatcher = new Agent({ ...options, connect: { socketPath, timeout: CONNECT_MS } });
    return { name, origin: 'http://docker', dispatcher };
  }
  let url: URL;
  try {
    url = new URL(name);
  } catch (cause) {
    throw malformed(name, 'it is no URL', cause);
  }
  const known = ['tcp:', 'http:', 'https:'].includes(url.protocol);
  if (!known) throw malformed(name, 'only unix://, tcp://, http:// and https:// are known');
  if (url.hostname === '') throw malformed(name, 'it names no host');
  const verified = (variables.DOCKER_TLS_VERIFY ?? '') !== '';
  const secure = url.protocol === 'https:' || (url.protocol === 'tcp:' && verified);
  const scheme = secure ? 'https' : 'http';
  const connect = { timeout: CONNECT_MS, ...(secure && verified ? certificates(variables) : {}) };
  const port = /:\d+$/.test(url.host) ? '' : `:${PORTS[scheme]}`;
  return { name, origin: `${scheme}://${url.host}${port}`, dispatcher: new Agent({ ...options, connect }) };
}
