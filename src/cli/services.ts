/** Interfaces of the layers that the CLI does not import. The composition root supplies them. */
import type { Config } from '../config';
import type { RootLog } from '../log';

/** A worker that accepts requests. */
export interface RunningWorker {
  /** Port that the worker listens on. */
  port: number;
  /** Resolves with the reason when the worker cannot continue. */
  failed: Promise<Error>;
  /** Resolves when another worker has taken over the port. */
  succeeded: Promise<string>;
  /** Stops accepting, answers queued requests, destroys all sandboxes, writes stats.json. */
  close(): Promise<void>;
}

/** A running worker that a new worker takes over from. */
export interface Predecessor {
  pid: number;
  /** Whether the old worker uses the second place of worker_dir (config/places.ts). */
  second: boolean;
}

export interface Services {
  /**
   * Makes and starts a worker. Resolves when its port is bound and its unix socket answers.
   * @param old the worker whose port is taken over; `config` is then for the place that `old` does not use
   */
  startWorker(config: Config, log: RootLog, old?: Predecessor): Promise<RunningWorker>;
  /** Removes what a killed worker left outside its directory, e.g. cgroups. */
  cleanupLeftovers(config: Config): Promise<void>;
}
