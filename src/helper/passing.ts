/** Passes descriptors between processes of one user. Node supports this only between parent and child. */
import { findBuilt } from './ffi';
import { PreparedLibrary } from './prepared-call';

/** PATH_MAX: longest path including its NUL, bytes. */
const MAX_PATH = 4096;

/** Functions of libargyle. Each returns a descriptor or 0, or -errno. */
export interface Passing {
  /** Makes the socket `name` in a directory. The socket receives descriptors. */
  inbox(dirFd: number, name: string): number;
  /** Sends a descriptor to an inbox. */
  give(dirFd: number, name: string, fd: number): number;
  /** Receives the descriptor that was sent to an inbox. */
  take(inbox: number): number;
  /** Opens a directory for inbox() and give(). */
  openDir(path: string): number;
}

/**
 * Loads these functions separately from loadArgyle(), since older libraries lack them.
 * @throws Error when the library or a function is missing
 */
export function loadPassing(path: string | undefined = findBuilt('libargyle.so')): Passing {
  if (path === undefined) throw new Error('libargyle.so is not built: run make -C sandbox-helper');
  const library = new PreparedLibrary(path);
  const text = Buffer.alloc(MAX_PATH);
  const raw = {
    inbox: library.prepare('argyle_inbox', ['int', text]),
    give: library.prepare('argyle_give', ['int', text, 'int']),
    take: library.prepare('argyle_take', ['int']),
    openDir: library.prepare('argyle_open_dir', [text]),
  };
  const set = (value: string): void => {
    if (Buffer.byteLength(value) >= MAX_PATH) throw new Error(`too long a path: ${value}`);
    text[text.write(value)] = 0;
  };
  return {
    inbox: (dirFd, name) => {
      set(name);
      return raw.inbox(dirFd);
    },
    give: (dirFd, name, fd) => {
      set(name);
      return raw.give(dirFd, fd);
    },
    take: (inbox) => raw.take(inbox),
    openDir: (dir) => {
      set(dir);
      return raw.openDir();
    },
  };
}
