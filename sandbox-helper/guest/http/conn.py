"""One connection from the worker: a blocking socket with a receive buffer."""

import posix
import sys

# One read; large enough that a 100 MB body costs few system calls.
RECV_BYTES = 1 << 16
# Above this, a header and its payload are sent separately instead of being copied together.
JOIN_BYTES = 1 << 16


class ClientGone(ConnectionError):
    """The worker closed the connection in the middle of an exchange."""


def exit_if_forked(pid):
    """Ends this process, without an answer, unless its id is `pid`.

    A process that the handler forked may return from the handler, as its parent does. Only the
    parent answers the request.
    """
    if posix.getpid() == pid:
        return
    try:
        sys.stderr.write("a process that the handler forked came back from it, and ends here\n")
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        posix._exit(0)


class Connection:
    """`buf` holds received bytes that are not yet used; `gone` is set once the peer has left."""

    def __init__(self, sock):
        self.sock = sock
        self._pid = posix.getpid()
        self.buf = bytearray()
        self.gone = False

    @property
    def is_own(self):
        """Whether this process opened the connection, and not its parent."""
        return posix.getpid() == self._pid

    def fill(self):
        """Waits for more bytes and appends them to buf. Returns False at the end of the stream."""
        try:
            data = self.sock.recv(RECV_BYTES)
        except ConnectionError:
            data = b""
        if not data:
            self.gone = True
            return False
        self.buf += data
        return True

    def send(self, *parts):
        """Sends all parts, in order. Raises ClientGone when the peer has left."""
        exit_if_forked(self._pid)
        try:
            if sum(map(len, parts)) <= JOIN_BYTES:
                self.sock.sendall(b"".join(parts))
            else:
                for part in parts:
                    self.sock.sendall(part)
        except ConnectionError as error:
            self.gone = True
            raise ClientGone(str(error)) from None

    def close(self):
        self.sock.close()
