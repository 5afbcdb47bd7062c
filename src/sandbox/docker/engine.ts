/** The HTTP client of a Docker engine. Every failure is an ArgyleError with the engine's address and the cause. */
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { z } from 'zod';
import { ArgyleError } from '../../errors';
import { createdShape, EngineError, exitShape, infoShape, listShape, send, stateShape, statsShape } from './api';
import type { Call, ContainerOptions, ContainerState, ContainerStats } from './api';
import { findEndpoint, type Endpoint } from './endpoint';

/** Limit for one step of the engine, in ms. */
const STEP_MS = 60_000;
/** Label of every container of a worker. The value is the worker's directory. */
export const WORKER_LABEL = 'argyle.worker';

const HTTP = { notFound: 404, conflict: 409 };

const statusOf = (error: unknown): number | undefined => (error instanceof EngineError ? error.status : undefined);

const query = (values: Record<string, string>): string => new URLSearchParams(values).toString();

export class Engine {
  private readonly at: Endpoint;
  /** Containers whose removal failed; create() tries to remove them again. */
  private readonly owed = new Set<string>();

  /** @param host value as in DOCKER_HOST; '' is the default socket. @throws ArgyleError CONFIG_INVALID */
  constructor(host: string) {
    this.at = findEndpoint(host);
  }

  /** Name for display, as in DOCKER_HOST. */
  get endpoint(): string {
    return this.at.name;
  }

  /** Resolves when the engine answers. @throws ArgyleError DOCKER_ENGINE */
  async ping(): Promise<void> {
    await this.step('answer', 'GET', '/_ping');
  }

  /**
   * Checks that the engine answers and has the image and the runtime.
   * @param runtime '' for the engine's default
   * @throws ArgyleError DOCKER_ENGINE when the engine is unreachable, CONFIG_INVALID for a missing image or runtime
   */
  async check(image: string, runtime: string): Promise<void> {
    const info = await this.ask('tell about itself', '/info', infoShape);
    const runtimes = Object.keys(info.Runtimes ?? {});
    if (runtime !== '' && !runtimes.includes(runtime)) {
      const message = `docker.runtime: the engine at ${this.endpoint} has no runtime "${runtime}"`;
      const options = { field: 'docker.runtime', value: runtime };
      throw new ArgyleError('CONFIG_INVALID', `${message} (it has ${runtimes.sort().join(', ')})`, options);
    }
    try {
      await this.whole({ method: 'GET', path: `/images/${encodeURIComponent(image)}/json`, limitMs: STEP_MS });
    } catch (cause) {
      if (statusOf(cause) !== HTTP.notFound) throw this.failure('look for an image', cause);
      const message = `docker.base_image: the engine at ${this.endpoint} has no image "${image}"`;
      const options = { field: 'docker.base_image', value: image, cause };
      throw new ArgyleError('CONFIG_INVALID', `${message}: build, pull or import it`, options);
    }
  }

  /** @returns the id of the new container. @throws ArgyleError DOCKER_ENGINE */
  async create(options: ContainerOptions): Promise<string> {
    const what = 'create a container';
    const text = await this.step(what, 'POST', '/containers/create', options);
    const { Id: id } = this.read(what, text, createdShape);
    for (const left of [...this.owed]) void this.remove(left);
    return id;
  }

  /** @throws ArgyleError DOCKER_ENGINE */
  async start(id: string): Promise<void> {
    await this.step('start a container', 'POST', `/containers/${id}/start`);
  }

  /** @throws ArgyleError DOCKER_ENGINE */
  async pause(id: string): Promise<void> {
    await this.step('pause a container', 'POST', `/containers/${id}/pause`);
  }

  /** @throws ArgyleError DOCKER_ENGINE */
  async unpause(id: string): Promise<void> {
    await this.step('unpause a container', 'POST', `/containers/${id}/unpause`);
  }

  /** @throws ArgyleError DOCKER_ENGINE */
  inspect(id: string): Promise<ContainerState> {
    return this.ask('look at a container', `/containers/${id}/json`, stateShape);
  }

  /**
   * Takes one sample. `one-shot` avoids the engine's wait of 1 s for a second sample. @throws ArgyleError DOCKER_ENGINE
   */
  stats(id: string): Promise<ContainerStats> {
    const path = `/containers/${id}/stats?${query({ stream: 'false', 'one-shot': 'true' })}`;
    return this.ask('measure a container', path, statsShape);
  }

  /** Returns the container's output until its end, framed as `frames.ts` reads it. @throws ArgyleError DOCKER_ENGINE */
  async attach(id: string): Promise<Readable> {
    const path = `/containers/${id}/attach?${query({ stream: '1', stdout: '1', stderr: '1' })}`;
    try {
      return await send(this.at, { method: 'POST', path, limitMs: null });
    } catch (cause) {
      throw this.failure('attach to a container', cause);
    }
  }

  /**
   * Resolves when the container has ended: to its exit code, or to undefined when the engine cannot report the exit
   * code.
   */
  async wait(id: string): Promise<number | undefined> {
    try {
      const said = await this.whole({ method: 'POST', path: `/containers/${id}/wait`, limitMs: null });
      return exitShape.safeParse(JSON.parse(said)).data?.StatusCode;
    } catch {
      return undefined;
    }
  }

  /**
   * Kills and removes a container. Never rejects; a failed removal is tried again later.
   * @returns whether the container and its processes are gone now
   */
  async remove(id: string): Promise<boolean> {
    try {
      const path = `/containers/${id}?${query({ force: 'true', v: 'true' })}`;
      await this.whole({ method: 'DELETE', path, limitMs: STEP_MS });
      this.owed.delete(id);
      return true;
    } catch (error) {
      // Not found: the container is gone. Conflict: another removal is in progress.
      const status = statusOf(error);
      if (status === HTTP.notFound || status === HTTP.conflict) this.owed.delete(id);
      else this.owed.add(id);
      return status === HTTP.notFound;
    }
  }

  /**
   * Removes all containers that earlier workers of this directory left, and returns their number.
   * @throws ArgyleError DOCKER_ENGINE
   */
  async removeLeftovers(workerDir: string): Promise<number> {
    const filters = JSON.stringify({ label: [`${WORKER_LABEL}=${workerDir}`] });
    const left = await this.ask('list containers', `/containers/json?${query({ all: 'true', filters })}`, listShape);
    await Promise.all(left.map(({ Id: id }) => this.remove(id)));
    return left.length;
  }

  /** Closes the connections to the engine. */
  async close(): Promise<void> {
    await this.at.dispatcher.destroy();
  }

  private async whole(call: Call): Promise<string> {
    return text(await send(this.at, call));
  }

  /** Executes one step and reads the whole answer. @throws ArgyleError DOCKER_ENGINE that names the step */
  private async step(what: string, method: Call['method'], path: string, body?: unknown): Promise<string> {
    try {
      return await this.whole({ method, path, limitMs: STEP_MS, ...(body === undefined ? {} : { body }) });
    } catch (cause) {
      throw this.failure(what, cause);
    }
  }

  private async ask<T>(what: string, path: string, shape: z.ZodType<T>): Promise<T> {
    return this.read(what, await this.step(what, 'GET', path), shape);
  }

  /** Parses an answer. @throws ArgyleError DOCKER_ENGINE for an answer of another shape */
  private read<T>(what: string, said: string, shape: z.ZodType<T>): T {
    try {
      return shape.parse(JSON.parse(said));
    } catch (cause) {
      throw this.failure(
        what,
        new EngineError(HTTP.conflict, `its answer is not understood: ${said.slice(0, 200)}`),
        cause,
      );
    }
  }

  private failure(what: string, cause: unknown, deeper: unknown = cause): ArgyleError {
    const why = ((cause as { message?: string }).message ?? String(cause)).trim();
    // An error without a status means that the engine did not answer.
    const message =
      statusOf(cause) === undefined
        ? `no Docker engine answers at ${this.endpoint}: ${why}`
        : `the Docker engine at ${this.endpoint} could not ${what}: ${why}`;
    return new ArgyleError('DOCKER_ENGINE', message, { cause: deeper, field: 'sandbox', value: 'docker' });
  }
}
