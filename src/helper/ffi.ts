/** Typed functions of libargyle. None of them blocks, so the event loop calls them directly. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ArgyleError } from '../errors';
import { PreparedLibrary } from './prepared-call';
import { MAX_FDS, REQUEST_BYTES } from './protocol';

/** The descriptors of one helper channel; see argyle_channel() in sandbox-helper/client. */
export interface Channel {
  /** Worker's end of the control socket. */
  control: number;
  /** Helper's end of the control socket; becomes the child's descriptor 3. */
  helperControl: number;
  /** Worker's end of the completion pipe, non-blocking. */
  events: number;
  /** Helper's end of the completion pipe; becomes the child's descriptor 4. */
  helperEvents: number;
}

export interface SlotFds {
  listen: number;
  logWrite: number;
  /** Non-blocking. */
  logRead: number;
  errWrite: number;
  /** Non-blocking. */
  errRead: number;
}

/** Functions of libargyle. A function returns a negative errno where noted; otherwise it throws. */
export interface Argyle {
  channel(): Channel;
  /** Sends one request with descriptors. Returns 0 or -errno (-EAGAIN when the socket is full). */
  submit(control: number, request: Buffer, fds: readonly number[]): number;
  /** Makes the listening socket `name` in the directory, and the pipes for log and errors. */
  slotFds(dirFd: number, name: string): SlotFds;
  /** Opens a directory with O_PATH, for short socket paths under /proc/self/fd. */
  openDir(path: string): number;
  /** Sets the scheduler slice of this thread and its future children, in µs. Returns 0 or -errno. */
  setSchedSlice(us: number): number;
  /** Gives free memory of the C heap back to the system: V8's compiler leaves some MB in the heaps of its threads. */
  trimHeap(): void;
}

/**
 * Finds a file of the build: `build/NAME` in this module's directory or the nearest parent that has it. Works from the
 * sources and from dist/.
 */
export function findBuilt(name: string): string | undefined {
  for (let dir = __dirname; ; dir = dirname(dir)) {
    const path = join(dir, 'build', name);
    if (existsSync(path)) return path;
    if (dir === dirname(dir)) return undefined;
  }
}

/** Maximum number of descriptors that one call returns. */
const INTS = 5;
/** PATH_MAX: longest path including its NUL, bytes. */
const MAX_PATH = 4096;

/** Converts a negative errno to an ArgyleError that names the call. */
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
 * @param path file to load; undefined for the built one
 * @throws ArgyleError HELPER_START when it is missing or cannot be loaded
 */
export function loadArgyle(path: string | undefined = findBuilt('libargyle.so')): Argyle {
  if (path === undefined) {
    throw new ArgyleError('HELPER_START', 'libargyle.so is not built: run make -C sandbox-helper');
  }
  // Buffers of the calls, at fixed addresses. Safety: one thread uses them, and each call is finished when it returns.
  const memory = { request: Buffer.alloc(REQUEST_BYTES), path: Buffer.alloc(MAX_PATH), ints: Buffer.alloc(4 * INTS) };
  const ints = new Int32Array(memory.ints.buffer, memory.ints.byteOffset, INTS);
  let raw: ReturnType<typeof prepare>;
  try {
    raw = prepare(new PreparedLibrary(path), memory);
  } catch (cause) {
    throw new ArgyleError('HELPER_START', `cannot load ${path}`, { cause, field: 'library', value: path });
  }
  const setPath = (text: string): void => {
    if (Buffer.byteLength(text) >= MAX_PATH) throw new ArgyleError('SANDBOX_CREATE', `too long a path: ${text}`);
    memory.path[memory.path.write(text)] = 0;
  };
  return {
    channel() {
      check('argyle_channel', raw.channel());
      const [control = -1, helperControl = -1, events = -1, helperEvents = -1] = ints;
      return { control, helperControl, events, helperEvents };
    },
    submit(control, request, fds) {
      if (request.length > REQUEST_BYTES || fds.length > MAX_FDS) throw new RangeError('too large a request');
      request.copy(memory.request);
      ints.set(fds);
      return raw.submit(control, request.length, fds.length);
    },
    slotFds(dirFd, name) {
      setPath(name);
      check('argyle_slot_fds', raw.slotFds(dirFd));
      const [listen = -1, logWrite = -1, logRead = -1, errWrite = -1, errRead = -1] = ints;
      return { listen, logWrite, logRead, errWrite, errRead };
    },
    openDir(dir) {
      setPath(dir);
      return check('argyle_open_dir', raw.openDir());
    },
    setSchedSlice: (us) => raw.setSchedSlice(us),
    trimHeap: () => void raw.trimHeap(0),
  };
}

function prepare(library: PreparedLibrary, { request, path, ints }: Record<'request' | 'path' | 'ints', Buffer>) {
  return {
    channel: library.prepare('argyle_channel', [ints]),
    submit: library.prepare('argyle_submit', ['int', request, 'int', ints, 'int']),
    slotFds: library.prepare('argyle_slot_fds', ['int', path, ints]),
    openDir: library.prepare('argyle_open_dir', [path]),
    setSchedSlice: library.prepare('argyle_set_sched_slice', ['int']),
    // This function is in glibc, with which libargyle is linked. Its argument is the number of bytes to keep.
    trimHeap: library.prepare('malloc_trim', ['int']),
  };
}
