/** Cleans up after a test even when it is killed: a process apart, which waits for the test's end. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Fixture } from './fixture';

export class Keeper {
  private readonly child: ChildProcess;

  constructor() {
    // In a session of its own, so that a signal to the test's process group does not end it.
    this.child = spawn('/usr/bin/python3', ['-I', join(__dirname, 'keeper.py')], {
      stdio: ['pipe', 'ignore', 'inherit'],
      detached: true,
    });
    this.child.stdin?.on('error', () => undefined);
  }

  /** A directory of the test, below the system's temporary one, with a name that starts with `argyle-`. */
  directory(path: string): void {
    this.child.stdin?.write(`directory ${path}\n`);
  }

  /** A cgroup of the test, with a name that starts with `argyle-t`. */
  cgroup(name: string): void {
    this.child.stdin?.write(`cgroup ${name}\n`);
  }

  /** A fixture's directory and the cgroup of its name. */
  fixture({ dir, cgroupName }: Fixture): void {
    this.directory(dir);
    this.cgroup(cgroupName);
  }

  /** The directory of a worker that was started detached. */
  worker(dir: string): void {
    this.child.stdin?.write(`worker ${dir}\n`);
  }

  /** Removes everything now. */
  async end(): Promise<void> {
    const ended = once(this.child, 'exit');
    this.child.stdin?.end();
    await ended;
  }
}
