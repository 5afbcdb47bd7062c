"""Forks by libguest.so, which makes the child in one clone3 and confines it."""

import errno
import os

from _argyle import channel, clib

# Keys: fork()'s results in a child. A spare is a leaf without a request yet.
ROLES = {1: "leaf", 2: "zygote", 3: "spare"}


class LibGuest:
    """The functions of libguest.so. Raises ImportError when it cannot be loaded."""

    def __init__(self):
        library = clib.load()
        self._fork = library.fork
        self._peak_kb = library.peak_kb
        self._share_text = library.share_text

    def fork(self):
        """Executes the FORK order that waits on the link.

        Returns 0 in the zygote, a key of ROLES in a child, or -errno when the zygote cannot go on
        (-ENOTCONN: the link is closed).
        """
        return self._fork(channel.LINK_FD)

    def peak_kb(self):
        """The peak resident size, KB."""
        return self._peak_kb()

    def share_text(self):
        """Moves Python's text into huge pages (hugetext.c), once. Returns the number of bytes."""
        return self._share_text()


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

    def share_text(self):
        """Moves no text, because this zygote forks no child. Returns 0."""
        return 0

    def peak_kb(self):
        """Like LibGuest.peak_kb()."""
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
