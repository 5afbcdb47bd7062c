/** The helper's slot numbers and the directory of the slots' sockets. All pools of one helper share one SlotHome. */
import { ArgyleError } from '../../errors';
import type { Argyle, SlotFds } from '../../helper/ffi';
import { MAX_SLOTS } from '../../helper/protocol';

export interface SlotPlace {
  id: number;
  /** Open descriptors: the slot's listening socket and log pipe. */
  fds: SlotFds;
  socketPath: string;
}

export class SlotHome {
  private readonly dirFd: number;
  private readonly free: number[] = [];
  private highest = 0;
  private serial = 0;

  /** @param socketDir directory of the listening sockets */
  constructor(
    private readonly argyle: Argyle,
    socketDir: string,
  ) {
    this.dirFd = argyle.openDir(socketDir);
  }

  /** @throws ArgyleError SANDBOX_CREATE when no id is left, or the sockets cannot be made. */
  take(): SlotPlace {
    const id = this.free.shift() ?? ++this.highest;
    if (id > MAX_SLOTS) {
      this.highest = MAX_SLOTS;
      throw new ArgyleError('SANDBOX_CREATE', `all ${MAX_SLOTS} slots are in use`);
    }
    // The serial makes the name unique, so a stale file never has the same name.
    const name = `${id}-${++this.serial}.sock`;
    try {
      return { id, fds: this.argyle.slotFds(this.dirFd, name), socketPath: `/proc/self/fd/${this.dirFd}/${name}` };
    } catch (error) {
      this.give(id);
      throw error;
    }
  }

  /** Returns an id to the free list. Call this once per take(). */
  give(id: number): void {
    this.free.push(id);
  }
}
