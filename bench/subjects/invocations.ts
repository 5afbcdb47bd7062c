import type { Subject } from '../subject';
import type { LiveWorker } from './live-worker';
import type { Way } from './tiers';
import { WayWatch } from './watch';

/** A function to deploy for a measurement. */
export interface Handler {
  /** Name of the function. Two subjects on one worker may share it. */
  name: string;
  files: Record<string, string>;
  /** The pins in its requirements.txt. The function's zygote has imported them. */
  pins: readonly string[];
}

const ECHO = 'def f(event):\n    return event\n';
/** Every call gets a new sandbox, so each call is a cold start. */
const FRESH_EACH_CALL = 'reuse-sandbox: false\n';

export const COLD_ECHO: Handler = { name: 'cold-echo', files: { 'f.py': ECHO, 'ol.yaml': FRESH_EACH_CALL }, pins: [] };
export const WARM_ECHO: Handler = { name: 'warm-echo', files: { 'f.py': ECHO }, pins: [] };

/** Pinned with all dependencies, as the worker's requirements.txt requires. */
export const PANDAS_PINS: readonly string[] = [
  'numpy==2.1.0',
  'pandas==2.2.3',
  'python-dateutil==2.9.0',
  'pytz==2024.2',
  'six==1.16.0',
  'tzdata==2024.2',
];

export const COLD_PANDAS: Handler = {
  name: 'cold-pandas',
  files: {
    'f.py': 'import numpy\nimport pandas\n\n\ndef f(event):\n    return pandas.__version__\n',
    'ol.yaml': FRESH_EACH_CALL,
    'requirements.txt': `${PANDAS_PINS.join('\n')}\n`,
  },
  pins: PANDAS_PINS,
};

/** Invocations of one function on a live worker over HTTP. Each call's kind of start is checked. */
export class Invocation implements Subject {
  private readonly watch: WayWatch;

  constructor(
    readonly name: string,
    readonly about: string,
    private readonly worker: LiveWorker,
    private readonly handler: Handler,
    way: Way,
  ) {
    this.watch = new WayWatch(worker, handler.pins, way);
  }

  async setup(): Promise<void> {
    await this.worker.start();
    await this.worker.install(this.handler.name, this.handler.files);
    await this.watch.settle(() => this.call());
  }

  ready(): Promise<void> {
    return this.watch.ready();
  }

  async run(): Promise<number> {
    return (await this.watch.checked(() => this.call())).elapsedMs;
  }

  teardown(): Promise<void> {
    return this.worker.stop();
  }

  private call(): Promise<{ elapsedMs: number }> {
    return this.worker.call(this.handler.name, '{"n":1}');
  }
}
