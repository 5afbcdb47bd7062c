"""One connection from the worker: a blocking socket with a receive buffer."""

# One read; large enough that a 100 MB body costs few system calls.
RECV_BYTES = 1 << 16
# Above this, a header and its payload are sent apart rather than copied together.
JOIN_BYTES = 1 << 16


class ClientGone(ConnectionError):
    """The worker closed the connection in the middle of an exchange."""


class Connection:
    """`buf` holds what was received and not yet used; `gone` is set once the peer has left."""

    def __init__(self, sock):
        self.sock = sock
        self.buf = bytearray()
        self.gone = False

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
