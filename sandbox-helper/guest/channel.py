"""A guest's channels: the link to the helper and the listening socket, or a path to dial.

A guest in a slot has both channels as descriptors. A guest in a container has neither. Its argument
is the path of a socket on which the worker listens. Such a guest does not wait for GO, and its
accept() connects to the worker.

Mirrors struct ag_link_msg and enum ag_link_op of sandbox-helper/protocol.h. Uses the C modules
_socket, _struct and posix directly: an import of `socket` takes as long as a start of Python, and
an import of `os` a fifth of that.
"""

import posix

import _socket
import _struct

LINK_FD = 3
LISTEN_FD = 4

LINK_GO = 1
LINK_FORK = 2
LINK_FORKED = 3

# uint32 op, uint32 role, uint64 seq, int64 result; native order and alignment
LINK_MSG = _struct.Struct("@IIQq")

# The worker's socket, in a guest without descriptors of its own.
_worker_path = None


def use_path(path):
    """Has this guest dial the worker at `path`, instead of using descriptors 3 and 4."""
    global _worker_path
    _worker_path = path


def is_dialling():
    """Whether accept() connects to the worker, and so never waits for a connection."""
    return _worker_path is not None


def protect():
    """Keeps both descriptors from programs that a handler starts, and makes them blocking."""
    if _worker_path is not None:
        return
    for fd in (LINK_FD, LISTEN_FD):
        posix.set_inheritable(fd, False)
        posix.set_blocking(fd, True)


def read_link():
    """Waits for one message. Returns (op, role, seq, result), or None when the helper is gone."""
    try:
        data = posix.read(LINK_FD, LINK_MSG.size)
    except ConnectionError:
        return None
    return LINK_MSG.unpack(data) if len(data) == LINK_MSG.size else None


def wait_go():
    """Waits for GO. Returns False when the helper closed the link instead."""
    if _worker_path is not None:
        return True
    while True:
        message = read_link()
        if message is None:
            return False
        if message[0] == LINK_GO:
            return True


def accept():
    """The next connection with the worker, as a blocking _socket.socket.

    A guest that cannot dial its worker is no longer needed, and ends.
    """
    if _worker_path is not None:
        return _dial()
    # Family and type are given. Otherwise each object would ask the kernel for both.
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, LISTEN_FD)
    try:
        fd, _ = listener._accept()
    finally:
        listener.detach()
    return _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)


def _dial():
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.connect(_worker_path)
    except OSError:
        raise SystemExit(0) from None
    return sock
