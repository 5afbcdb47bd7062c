"""Binds /runtime/libguest.so, which forks in one clone3 and confines the child.

ctypes.PyDLL keeps the interpreter's lock, as the fork hooks of CPython need.
"""

import ctypes
import errno
import os

from _argyle import channel

# By what fork() returns in a child. A spare is a leaf for which no request waits yet.
ROLES = {1: "leaf", 2: "zygote", 3: "spare"}
PATH = f"{__file__.rpartition('/')[0]}/libguest.so"


class LibGuest:
    """The functions of libguest.so. Raises OSError when it cannot be loaded."""

    def __init__(self, path=PATH):
        library = ctypes.PyDLL(path)
        self._fork = library.guest_fork
        self._fork.argtypes = [ctypes.c_int]
        self._fork.restype = ctypes.c_int
        self._threads = library.guest_threads
        self._threads.argtypes = []
        self._threads.restype = ctypes.c_int

    def fork(self):
        """Carries out the FORK order that waits on the link.

        Returns 0 in the zygote, a key of ROLES in a child, or -errno when the zygote cannot go on
        (-ENOTCONN: the link is closed).
        """
        return self._fork(channel.LINK_FD)

    def threads(self):
        """How many OS threads this process has, -1 when that is unknown."""
        return self._threads()


class NoLibGuest:
    """Stands in when libguest.so cannot be loaded: refuses each FORK order with -ENOSYS."""

    def fork(self):
        """Answers one order. Returns 0, or -ENOTCONN when the link is closed."""
        message = channel.read_link()
        if message is None:
            return -errno.ENOTCONN
        if message[0] == channel.LINK_FORK:
            answer = (channel.LINK_FORKED, message[1], message[2], -errno.ENOSYS)
            os.write(channel.LINK_FD, channel.LINK_MSG.pack(*answer))
        return 0

    def threads(self):
        """Unknown."""
        return -1
