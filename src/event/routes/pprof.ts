/** CPU and heap profiles of the worker itself, in the formats of Chrome's and VS Code's developer tools. */
import { Session } from 'node:inspector/promises';

/** Bytes between two samples of the heap profile; V8's own default is 32 KiB. */
const HEAP_SAMPLE_BYTES = 32 * 1024;
/** Sampling time of the first heap profile, ms. */
const HEAP_WINDOW_MS = 200;

export class Profiler {
  private cpu: Session | undefined;

  /** Starts a CPU profile. Returns false when one is running already. */
  async startCpu(): Promise<boolean> {
    if (this.cpu !== undefined) return false;
    const session = new Session();
    // Set before the first await, so that two concurrent requests cannot both start a profile.
    this.cpu = session;
    session.connect();
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    return true;
  }

  /** Returns the profile as JSON (.cpuprofile); undefined when none is running. */
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
   * Returns the live heap by allocation site, as JSON (.heapprofile). This is a sampling profile, not a snapshot. A
   * snapshot would stop the worker for seconds and contain every string in memory, including those of requests.
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
