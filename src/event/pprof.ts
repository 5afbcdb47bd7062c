/** CPU and heap profiles of the worker itself, in the formats of Chrome's and VS Code's developer tools. */
import { Session } from 'node:inspector/promises';

/** Bytes between two samples of the heap profile; V8's own default is 32 KiB. */
const HEAP_SAMPLE_BYTES = 32 * 1024;
/** How long allocations are sampled, when nothing has been sampled before. */
const HEAP_WINDOW_MS = 200;

export class Profiler {
  private cpu: Session | undefined;

  /** False when a CPU profile is running already. */
  async startCpu(): Promise<boolean> {
    if (this.cpu !== undefined) return false;
    const session = new Session();
    // Taken before anything is awaited: two requests at once must not both start one.
    this.cpu = session;
    session.connect();
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    return true;
  }

  /** The profile as JSON (.cpuprofile); undefined when none is running. */
  async stopCpu(): Promise<Buffer | undefined> {
    const session = this.cpu;
    if (session === undefined) return undefined;
    this.cpu = undefined;
    try {
      const { profile } = await session.post('Profiler.stop');
      return Buffer.from(JSON.stringify(profile));
    } finally {
      session.disconnect();
    }
  }

  /**
   * What the heap holds, by the place that allocated it, as JSON (.heapprofile). A sampling profile, not a snapshot: a
   * snapshot stops the worker for seconds and holds every string in memory, also those of requests.
   */
  async heap(): Promise<Buffer> {
    const session = new Session();
    session.connect();
    try {
      await session.post('HeapProfiler.startSampling', {
        samplingInterval: HEAP_SAMPLE_BYTES,
        includeObjectsCollectedByMajorGC: true,
        includeObjectsCollectedByMinorGC: true,
      } as object);
      await new Promise((resolve) => setTimeout(resolve, HEAP_WINDOW_MS));
      const { profile } = await session.post('HeapProfiler.stopSampling');
      return Buffer.from(JSON.stringify(profile));
    } finally {
      session.disconnect();
    }
  }

  close(): void {
    this.cpu?.disconnect();
    this.cpu = undefined;
  }
}
