/** The requests and answers of the Docker engine's HTTP API that the worker uses, with their validation. */
import type { Readable } from 'node:stream';
import { request } from 'undici';
import { z } from 'zod';
import type { Endpoint } from './endpoint';

/** The options of a container: the part of the API's ContainerCreate that the worker uses. */
export interface ContainerOptions {
  Image: string;
  Entrypoint: string[];
  Cmd: string[];
  Env: string[];
  WorkingDir: string;
  User: string;
  Hostname: string;
  Labels: Record<string, string>;
  HostConfig: HostOptions;
}

export interface LimitOptions {
  Memory?: number;
  MemorySwap?: number;
  PidsLimit: number;
  CpuPeriod?: number;
  CpuQuota?: number;
}

export interface HostOptions extends LimitOptions {
  Runtime?: string;
  NetworkMode: string;
  Mounts: MountOptions[];
  Tmpfs: Record<string, string>;
  ReadonlyRootfs: boolean;
  CapDrop: string[];
  SecurityOpt: string[];
  LogConfig: { Type: string; Config: Record<string, string> };
  RestartPolicy: { Name: string };
}

export interface MountOptions {
  Type: 'bind';
  Source: string;
  Target: string;
  ReadOnly: boolean;
}

export const infoShape = z.object({ Runtimes: z.record(z.string(), z.unknown()).nullish() });
export const createdShape = z.object({ Id: z.string() });
export const listShape = z.array(createdShape);
export const exitShape = z.object({ StatusCode: z.number() });
export const stateShape = z.object({
  State: z.object({ Pid: z.number(), Running: z.boolean(), Paused: z.boolean(), OOMKilled: z.boolean() }),
});
export const statsShape = z.object({
  memory_stats: z.object({
    usage: z.number().optional(),
    // Cached files: the name of cgroup v1, then of cgroup v2.
    stats: z.object({ total_inactive_file: z.number().optional(), inactive_file: z.number().optional() }).optional(),
  }),
  pids_stats: z.object({ current: z.number().optional() }).optional(),
  cpu_stats: z.object({ cpu_usage: z.object({ total_usage: z.number() }) }),
});
export type ContainerState = z.infer<typeof stateShape>;
export type ContainerStats = z.infer<typeof statsShape>;

const errorShape = z.object({ message: z.string() });

/** The engine refused a request. */
export class EngineError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** One request to the engine. */
export interface Call {
  method: 'GET' | 'POST' | 'DELETE';
  /** Path with query, relative to the engine's origin. */
  path: string;
  body?: unknown;
  /** Limit for the whole exchange, in ms; null for an exchange that may last as long as the container. */
  limitMs: number | null;
}

async function refused(status: number, body: { text: () => Promise<string> }): Promise<EngineError> {
  const text = await body.text();
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    // A proxy may have answered; its text is then the only information.
  }
  const message = errorShape.safeParse(said).data?.message ?? text;
  return new EngineError(status, message.trim() === '' ? `it answered ${status}` : message);
}

/**
 * Sends a request. @returns the body of the answer
 * @throws EngineError for a status of 400 and above; another error when no answer comes
 */
export async function send(at: Endpoint, { method, path, body, limitMs }: Call): Promise<Readable> {
  const answer = await request(`${at.origin}${path}`, {
    method,
    dispatcher: at.dispatcher,
    ...(limitMs === null ? {} : { signal: AbortSignal.timeout(limitMs) }),
    ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  });
  if (answer.statusCode >= 400) throw await refused(answer.statusCode, answer.body);
  return answer.body;
}
