/**
 * The only module that knows FFI: libargyle's five functions, typed.
 * None of them blocks, so they are called on the event loop; a call costs 10 to 30 µs, most of it for pointers.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Library } from 'ffi-napi';
import { ArgyleError } from '../errors';

/** The descriptors of one helper channel; see argyle_channel() in sandbox-helper/client. */
export interface Channel {
  /** Worker's end of the control socket. */
  control: number;
  /** Helper's end of it, to be the child's descriptor 3. */
  helperControl: number;
  /** Worker's end of the completion pipe, non-blocking. */
  events: number;
  /** Helper's end of it, to be the child's descriptor 4. */
  helperEvents: number;
}

export interface SlotFds {
  listen: number;
  logWrite: number;
  /** Non-blocking. */
  logRead: number;
}

/** libargyle. Functions that can fail return a negative errno where noted and throw otherwise. */
export interface Argyle {
  channel(): Channel;
  /** Sends one request with descriptors; 0 or -errno (-EAGAIN when the socket is full). */
  submit(control: number, request: Buffer, fds: readonly number[]): number;
  /** Makes the listening socket `name` in the directory and a log pipe. */
  slotFds(dirFd: number, name: string): SlotFds;
  /** Opens a directory with O_PATH, for short socket paths below /proc/self/fd. */
  openDir(path: string): number;
  close(fd: number): void;
}

const SYMBOLS = {
  argyle_channel: ['int', ['pointer']],
  argyle_submit: ['int', ['int', 'pointer', 'uint', 'pointer', 'uint']],
  argyle_slot_fds: ['int', ['int', 'string', 'pointer']],
  argyle_open_dir: ['int', ['string']],
  argyle_close: ['int', ['int']],
} as const;

/** Library, without the inference of its published types, which an npm alias hides. */
const Opener = Library as unknown as new (path: string, symbols: typeof SYMBOLS) => RawArgyle;

interface RawArgyle {
  argyle_channel(out: Buffer): number;
  argyle_submit(control: number, request: Buffer, length: number, fds: Buffer, count: number): number;
  argyle_slot_fds(dirFd: number, name: string, out: Buffer): number;
  argyle_open_dir(path: string): number;
  argyle_close(fd: number): number;
}

/**
 * Finds a file of the build: `build/NAME` in this module's directory or the nearest one above it.
 * Works from the sources and from dist/ alike.
 */
export function findBuilt(name: string): string | undefined {
  for (let dir = __dirname; ; dir = dirname(dir)) {
    const path = join(dir, 'build', name);
    if (existsSync(path)) return path;
    if (dir === dirname(dir)) return undefined;
  }
}

/** Negative errno to an ArgyleError that names the call. */
function check(call: string, result: number): number {
  if (result < 0) {
    const cause = Object.assign(new Error(call), { errno: result });
    throw new ArgyleError('SANDBOX_CREATE', `${call} failed: errno ${-result}`, { cause });
  }
  return result;
}

/**
 * Loads libargyle.
 *
 * @param path file to load; undefined looks for the built one.
 * @throws ArgyleError HELPER_START when it is missing or cannot be loaded.
 */
export function loadArgyle(path: string | undefined = findBuilt('libargyle.so')): Argyle {
  if (path === undefined) {
    throw new ArgyleError('HELPER_START', 'libargyle.so is not built: run make -C sandbox-helper');
  }
  let raw: RawArgyle;
  try {
    raw = new Opener(path, SYMBOLS);
  } catch (cause) {
    throw new ArgyleError('HELPER_START', `cannot load ${path}`, { cause, field: 'library', value: path });
  }
  const ints = Buffer.alloc(16);
  return {
    channel() {
      check('argyle_channel', raw.argyle_channel(ints));
      const [control, helperControl, events, helperEvents] = new Int32Array(ints.buffer, ints.byteOffset, 4);
      return {
        control: control ?? -1,
        helperControl: helperControl ?? -1,
        events: events ?? -1,
        helperEvents: helperEvents ?? -1,
      };
    },
    submit(control, request, fds) {
      new Int32Array(ints.buffer, ints.byteOffset, 4).set(fds);
      return raw.argyle_submit(control, request, request.length, ints, fds.length);
    },
    slotFds(dirFd, name) {
      check('argyle_slot_fds', raw.argyle_slot_fds(dirFd, name, ints));
      const [listen, logWrite, logRead] = new Int32Array(ints.buffer, ints.byteOffset, 4);
      return { listen: listen ?? -1, logWrite: logWrite ?? -1, logRead: logRead ?? -1 };
    },
    openDir: (dir) => check('argyle_open_dir', raw.argyle_open_dir(dir)),
    close(fd) {
      raw.argyle_close(fd);
    },
  };
}
