"""Request bodies: an incremental decoder, and a file object on top of it for WSGI."""

import io

from _argyle.http.conn import ClientGone
from _argyle.http.http1 import HttpError

# A chunk's size line with its extensions, and all trailers together.
MAX_LINE_BYTES = 4096
MAX_TRAILER_BYTES = 1 << 16

_SIZE, _DATA, _DATA_END, _TRAILER, _DONE = range(5)
_HEX = b"0123456789abcdefABCDEF"


class Body:
    """Decodes one body from a connection's buffer; `length` None means chunked."""

    def __init__(self, buf, length):
        self._buf = buf
        self._chunked = length is None
        self._left = length or 0
        self._trailer_left = MAX_TRAILER_BYTES
        self._state = _SIZE if self._chunked else _DATA if length else _DONE

    @property
    def done(self):
        """True after the whole body was removed from the buffer."""
        return self._state == _DONE

    def next(self, limit=1 << 16):
        """The next 1 to `limit` bytes, b"" at the end, None when more input is needed.

        Raises HttpError when the chunks are malformed.
        """
        while self._state != _DONE:
            if self._state == _DATA:
                data = bytes(self._buf[: min(limit, self._left)])
                if not data:
                    return None
                del self._buf[: len(data)]
                self._left -= len(data)
                if not self._left:
                    self._state = _DATA_END if self._chunked else _DONE
                return data
            line = self._line()
            if line is None:
                return None
            self._step(line)
        return b""

    def _line(self):
        end = self._buf.find(b"\r\n", 0, MAX_LINE_BYTES)
        if end < 0:
            if len(self._buf) >= MAX_LINE_BYTES:
                raise HttpError(400, "chunk: line too long")
            return None
        line = bytes(self._buf[:end])
        del self._buf[: end + 2]
        return line

    def _step(self, line):
        if self._state == _SIZE:
            digits = line.partition(b";")[0].rstrip(b" \t")
            if not digits or len(digits) > 15 or digits.translate(None, _HEX) or b"\n" in line:
                raise HttpError(400, f"chunk: bad size line {line[:100]!r}")
            self._left = int(digits, 16)
            self._state = _DATA if self._left else _TRAILER
        elif self._state == _DATA_END:
            if line:
                raise HttpError(400, "chunk: data longer than its size")
            self._state = _SIZE
        elif line:
            self._trailer_left -= len(line)
            if self._trailer_left < 0:
                raise HttpError(400, "chunk: trailers too long")
        else:
            self._state = _DONE


class BodyReader(io.RawIOBase):
    """A body as a raw stream. Reads from a blocking connection as the bytes arrive."""

    def __init__(self, conn, body):
        self._conn = conn
        self._body = body

    def readable(self):
        return True

    def readinto(self, target):
        data = self.pull(len(target))
        target[: len(data)] = data
        return len(data)

    def pull(self, limit=1 << 16):
        """Waits for the next bytes, b"" at the end. Raises HttpError, or ClientGone."""
        while (data := self._body.next(limit)) is None:
            if not self._conn.fill():
                raise ClientGone("the request body ended too early")
        return data

    def readall(self):
        """The whole rest of the body."""
        return b"".join(iter(self.pull, b""))

    def drain(self):
        """Reads and discards the rest of the body."""
        while self.pull():
            pass
