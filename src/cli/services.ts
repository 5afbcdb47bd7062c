/** What the CLI needs of the layers that it does not import; the composition root supplies it. */
import type { Config } from '../config';
import type { RootLog } from '../log';

/** A worker that answers requests. */
export interface RunningWorker {
  /** Port that it listens on. */
  port: number;
  /** Resolves when the worker can no longer go on by itself, with the reason. */
  failed: Promise<Error>;
  /** Stops accepting, answers what is queued, destroys every sandbox, writes stats.json. */
  close(): Promise<void>;
}

export interface Services {
  /** Makes and starts a worker; resolves once its port is bound and its unix socket answers. */
  startWorker(config: Config, log: RootLog): Promise<RunningWorker>;
  /** Removes what a killed worker left behind outside its directory, e.g. cgroups. */
  cleanupLeftovers(config: Config): Promise<void>;
}
