/** The instances of a function that wait for a request, and those that ended while they waited. */
import type { Instance } from './instance';

const NONE: readonly Instance[] = [];

export class IdleInstances {
  /** Least recently used first. The last one is the least likely to be frozen. */
  private list: Instance[] = [];

  get length(): number {
    return this.list.length;
  }

  [Symbol.iterator](): IterableIterator<Instance> {
    return this.list[Symbol.iterator]();
  }

  /** Number of running and of paused instances. An instance that has ended counts as neither. */
  get counts(): { idle: number; paused: number } {
    const counts = { idle: 0, paused: 0 };
    for (const { sandbox } of this.list) {
      if (sandbox.life.isPaused) counts.paused++;
      else if (sandbox.life.isAlive) counts.idle++;
    }
    return counts;
  }

  get hasUsable(): boolean {
    return this.list.some((instance) => instance.usable);
  }

  /** Time since each instance became idle, in ms, longest first. */
  idleMs(nowMs: number): number[] {
    return this.list.map((instance) => nowMs - instance.idleSince);
  }

  add(instance: Instance): void {
    this.list.push(instance);
    instance.park();
  }

  /** Takes the most recently used instance. */
  pop(): Instance | undefined {
    return this.list.pop();
  }

  takeOldest(count: number): readonly Instance[] {
    return this.list.splice(0, count);
  }

  takeAll(): readonly Instance[] {
    return this.list.splice(0);
  }

  /** Takes the instances that can serve no request any more. */
  takeDead(): readonly Instance[] {
    // Fast path: each request calls this method.
    if (this.list.every((instance) => instance.usable)) return NONE;
    const dead = this.list.filter((instance) => !instance.usable);
    this.list = this.list.filter((instance) => instance.usable);
    return dead;
  }
}
