"""The two descriptors that every guest is born with: the link to the helper and the listener.

Mirrors struct ag_link_msg and enum ag_link_op of sandbox-helper/protocol.h. Uses the C modules
_socket and _struct directly, because `socket` alone takes as long to import as Python to start.
"""

import os

import _socket
import _struct

LINK_FD = 3
LISTEN_FD = 4

LINK_GO = 1
LINK_FORK = 2
LINK_FORKED = 3

# uint32 op, uint32 role, uint64 seq, int64 result; native order and alignment
LINK_MSG = _struct.Struct("@IIQq")


def protect():
    """Keeps both descriptors from programs that a handler starts, and makes them blocking."""
    for fd in (LINK_FD, LISTEN_FD):
        os.set_inheritable(fd, False)
        os.set_blocking(fd, True)


def read_link():
    """Waits for one message. Returns (op, role, seq, result), or None when the helper is gone."""
    try:
        data = os.read(LINK_FD, LINK_MSG.size)
    except ConnectionError:
        return None
    return LINK_MSG.unpack(data) if len(data) == LINK_MSG.size else None


def wait_go():
    """Waits for GO. Returns False when the helper closed the link instead."""
    while True:
        message = read_link()
        if message is None:
            return False
        if message[0] == LINK_GO:
            return True


def accept():
    """Accepts one connection on the slot's socket. Returns a blocking _socket.socket."""
    # Family and type are told, or each object would ask the kernel for them.
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, LISTEN_FD)
    try:
        fd, _ = listener._accept()
    finally:
        listener.detach()
    return _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)
