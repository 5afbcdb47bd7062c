/** Cleans up after a test even when the test is killed. A separate process waits for the test's end. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Fixture } from './fixture';

export class Keeper {
  private readonly child: ChildProcess;

  constructor() {
    // A separate session, so that a signal to the test's process group does not end it.
    this.child = spawn('/usr/bin/python3', ['-I', join(__dirname, 'keeper.py')], {
      stdio: ['pipe', 'ignore', 'inherit'],
      detached: true,
    });
    this.child.stdin?.on('error', () => undefined);
  }

  /** Registers a directory of the test below the system's temporary directory. Its name begins with `argyle-`. */
  directory(path: string): void {
    this.child.stdin?.write(`directory ${path}\n`);
  }

  /** Registers a cgroup of the test. Its name begins with `argyle-t`. */
  cgroup(name: string): void {
    this.child.stdin?.write(`cgroup ${name}\n`);
  }

  /** Registers a fixture's directory and cgroup. */
  fixture({ dir, cgroupName }: Fixture): void {
    this.directory(dir);
    this.cgroup(cgroupName);
  }

  /** Registers the directory of a detached worker. */
  worker(dir: string): void {
    this.child.stdin?.write(`worker ${dir}\n`);
  }

  /** Removes all registered objects now. */
  async end(): Promise<void> {
    const ended = once(this.child, 'exit');
    this.child.stdin?.end();
    await ended;
  }
}
