/** Plans for tests/faultshim.c: which call of the helper fails, and with which errno. */
import { closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { HELPER_DIR, buildHelper, compile } from './build';

export const Errno = { EINTR: 4, EIO: 5, ENOMEM: 12, EMFILE: 24 } as const;

export class FaultPlan {
  readonly env: Record<string, string>;
  /** A helper without fortified calls, since the shim does not wrap their names. */
  readonly binary = buildHelper('sandbox-helper-plain', ['-U_FORTIFY_SOURCE']);
  private readonly fd: number;

  constructor(dir: string) {
    const path = join(dir, 'fault-plan');
    writeFileSync(path, Buffer.alloc(64));
    this.fd = openSync(path, 'r+');
    const shim = compile('faultshim.so', [join(HELPER_DIR, 'tests/faultshim.c')], ['-shared', '-fPIC', '-ldl', '-w']);
    this.env = { LD_PRELOAD: shim, ARGYLE_FAULT_PLAN: path };
  }

  /** Makes the `failAt`-th call from now on fail. 0 injects no fault and only counts calls. */
  arm(failAt: number, errno: number = Errno.EIO): void {
    const plan = Buffer.alloc(64);
    [1, 0, failAt, errno].forEach((word, index) => plan.writeUInt32LE(word, 4 * index));
    writeSync(this.fd, plan, 0, 64, 0);
  }

  /** Stops counting. @returns the count, whether the fault was injected, and the name of the failed call */
  disarm(): { count: number; isHit: boolean; name: string } {
    const plan = Buffer.alloc(64);
    readSync(this.fd, plan, 0, 64, 0);
    writeSync(this.fd, Buffer.alloc(4), 0, 4, 0);
    const name = plan.toString('latin1', 20, 64);
    return { count: plan.readUInt32LE(4), isHit: plan.readUInt32LE(16) > 0, name: name.slice(0, name.indexOf('\0')) };
  }

  close(): void {
    closeSync(this.fd);
  }
}
