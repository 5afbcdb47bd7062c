/** A Docker engine, by its HTTP API: every failure as an ArgyleError that says where the engine was sought, and why. */
import { text } from 'node:stream/consumers';
import Docker from 'dockerode';
import { z } from 'zod';
import { ArgyleError } from '../../errors';

/** Where an engine listens unless DOCKER_HOST says otherwise. */
const DEFAULT_HOST = 'unix:///var/run/docker.sock';
const UNIX = 'unix://';
/** An engine that takes longer for one step than this is taken for stuck, ms. */
const STEP_MS = 60_000;
/** Label of every container of a worker; its value is the worker's directory. */
export const WORKER_LABEL = 'argyle.worker';

const exitShape = z.object({ StatusCode: z.number() });

const HTTP = { notFound: 404, conflict: 409 };

const statusOf = (error: unknown): number | undefined => (error as { statusCode?: number }).statusCode;

/** An API error's own words; docker-modem puts the HTTP code in front. */
function messageOf(error: unknown): string {
  const { json, message } = error as { json?: { message?: unknown }; message?: string };
  return typeof json?.message === 'string' ? json.message : (message ?? String(error));
}

export class Engine {
  /** For people, as DOCKER_HOST names it. */
  readonly endpoint: string;
  private readonly docker: Docker;
  /** Without a time limit, for requests that are answered when something happens. */
  private readonly patient: Docker;
  /** Containers that could not be removed; each success with another is an occasion to try again. */
  private readonly owed = new Set<string>();

  /** @param host as DOCKER_HOST; '' is the engine's default socket. @throws ArgyleError CONFIG_INVALID */
  constructor(host: string) {
    this.endpoint = host === '' ? DEFAULT_HOST : host;
    // Anything but a unix socket is read by dockerode itself, with DOCKER_TLS_VERIFY and its like.
    const at = this.endpoint.startsWith(UNIX) ? { socketPath: this.endpoint.slice(UNIX.length) } : {};
    try {
      this.docker = new Docker({ ...at, timeout: STEP_MS });
      this.patient = new Docker(at);
    } catch (cause) {
      const options = { field: 'DOCKER_HOST', value: this.endpoint, cause };
      throw new ArgyleError('CONFIG_INVALID', `DOCKER_HOST is malformed: ${this.endpoint}`, options);
    }
  }

  /**
   * Makes sure that the engine answers and has what the sandboxes need.
   * @param runtime '' for the engine's default.
   * @throws ArgyleError DOCKER_ENGINE when it can't be reached, CONFIG_INVALID for a missing image or runtime.
   */
  async check(image: string, runtime: string): Promise<void> {
    const info = (await this.call('tell about itself', (docker) => docker.info())) as { Runtimes?: object };
    const runtimes = Object.keys(info.Runtimes ?? {});
    if (runtime !== '' && !runtimes.includes(runtime)) {
      const message = `docker.runtime: the engine at ${this.endpoint} has no runtime "${runtime}"`;
      const options = { field: 'docker.runtime', value: runtime };
      throw new ArgyleError('CONFIG_INVALID', `${message} (it has ${runtimes.sort().join(', ')})`, options);
    }
    try {
      await this.docker.getImage(image).inspect();
    } catch (cause) {
      if (statusOf(cause) !== HTTP.notFound) throw this.failure('look for an image', cause);
      const message = `docker.base_image: the engine at ${this.endpoint} has no image "${image}"`;
      const options = { field: 'docker.base_image', value: image, cause };
      throw new ArgyleError('CONFIG_INVALID', `${message}: build, pull or import it`, options);
    }
  }

  /** @throws ArgyleError DOCKER_ENGINE */
  async create(options: Docker.ContainerCreateOptions): Promise<Docker.Container> {
    const container = await this.call('create a container', (docker) => docker.createContainer(options));
    for (const id of [...this.owed]) void this.remove(id);
    return container;
  }

  /** Carries out one step. @throws ArgyleError DOCKER_ENGINE naming it. */
  async call<T>(what: string, step: (docker: Docker) => Promise<T>): Promise<T> {
    try {
      return await step(this.docker);
    } catch (cause) {
      throw this.failure(what, cause);
    }
  }

  /** What a container prints, framed as `frames.ts` reads it, until it ends. @throws ArgyleError DOCKER_ENGINE */
  async attach(id: string): Promise<NodeJS.ReadableStream> {
    const options = { stream: true, stdout: true, stderr: true };
    try {
      return await this.patient.getContainer(id).attach(options);
    } catch (cause) {
      throw this.failure('attach to a container', cause);
    }
  }

  /** Resolves with its exit code when a container has ended, undefined when the engine lost sight of it. */
  async wait(id: string): Promise<number | undefined> {
    try {
      const answer = exitShape.safeParse(JSON.parse(await text(await this.waiting(id))));
      return answer.data?.StatusCode;
    } catch {
      return undefined;
    }
  }

  /** Kills and removes a container. Never rejects: what the engine can't do now is tried again later. */
  async remove(id: string): Promise<void> {
    try {
      await this.docker.getContainer(id).remove({ force: true, v: true });
      this.owed.delete(id);
    } catch (error) {
      // Gone, or going: another removal of it is under way.
      const status = statusOf(error);
      if (status === HTTP.notFound || status === HTTP.conflict) this.owed.delete(id);
      else this.owed.add(id);
    }
  }

  /**
   * Removes every container that a worker of this directory has left, and returns how many there were.
   * @throws ArgyleError DOCKER_ENGINE
   */
  async removeLeftovers(workerDir: string): Promise<number> {
    const filters = { label: [`${WORKER_LABEL}=${workerDir}`] };
    const left = await this.call('list containers', (docker) => docker.listContainers({ all: true, filters }));
    await Promise.all(left.map(({ Id: id }) => this.remove(id)));
    return left.length;
  }

  /**
   * The answer to a wait, which the engine begins at once and ends with the container. dockerode's own wait() never
   * settles when the connection breaks in between.
   */
  private waiting(id: string): Promise<NodeJS.ReadableStream> {
    const request = { path: `/containers/${id}/wait`, method: 'POST', isStream: true, statusCodes: { 200: true } };
    return new Promise((resolve, reject) => {
      this.patient.modem.dial(request, (error, answer) => {
        if (error === null) resolve(answer as NodeJS.ReadableStream);
        else reject(error);
      });
    });
  }

  private failure(what: string, cause: unknown): ArgyleError {
    const why = messageOf(cause).trim();
    // Without a status there was no answer.
    const message =
      statusOf(cause) === undefined
        ? `no Docker engine answers at ${this.endpoint}: ${why}`
        : `the Docker engine at ${this.endpoint} could not ${what}: ${why}`;
    return new ArgyleError('DOCKER_ENGINE', message, { cause, field: 'sandbox', value: 'docker' });
  }
}
