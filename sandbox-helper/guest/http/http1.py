"""HTTP/1.1 heads, without input or output: parses a request's, frames a response.

Strict, because the worker is the only client: CRLF line ends, no obsolete folding, one meaning for
the length of a body. The worker handles `Expect`, so this module ignores it.
"""

MAX_HEAD_BYTES = 1 << 16

_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CONTROL = bytes(c for c in range(32) if c != 9) + b"\x7f"
_BLANK = b" \t"
# Headers of one connection, which an application cannot set (RFC 9110, section 7.6.1).
_HOP_BY_HOP = (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")

_REASONS = {200: b"OK", 400: b"Bad Request", 500: b"Internal Server Error"}


def reason(status):
    """The reason phrase of a status as bytes; empty for a status without a phrase."""
    if status not in _REASONS:
        from http import HTTPStatus

        _REASONS[status] = b""
        if any(status == known for known in HTTPStatus):
            _REASONS[status] = HTTPStatus(status).phrase.encode("ascii")
    return _REASONS[status]


class HttpError(Exception):
    """A request that cannot be served; the connection is closed after the answer."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Request:
    """A parsed head. Header names are lower case bytes; `length` is None for a chunked body."""

    __slots__ = ("method", "target", "path", "query", "minor", "headers", "length", "keep_alive")

    def header(self, name):
        """The first value of header `name` (lower case bytes), or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


def parse_head(buf):
    """Removes one request head from the start of bytearray `buf`.

    Returns a Request, or None when the head is not complete yet. Raises HttpError.
    """
    while buf.startswith(b"\r\n"):
        del buf[:2]
    end = buf.find(b"\r\n\r\n")
    if end > MAX_HEAD_BYTES or (end < 0 and len(buf) > MAX_HEAD_BYTES + 3):
        raise HttpError(431, f"the request head is longer than {MAX_HEAD_BYTES} bytes")
    if end < 0:
        return None
    lines = bytes(buf[:end]).split(b"\r\n")
    del buf[: end + 4]
    request = Request()
    _parse_request_line(request, lines[0])
    # One search in all lines takes less time than one search per line.
    clean = not _has_control(b"".join(lines))
    request.headers = [_parse_header(line, clean) for line in lines[1:]]
    _apply_headers(request)
    return request


def _parse_request_line(request, line):
    parts = line.split(b" ")
    if len(parts) != 3 or not parts[0] or parts[0].translate(None, _TOKEN):
        raise HttpError(400, f"malformed request line: {line[:200]!r}")
    method, target, version = parts
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        status = 505 if version.startswith(b"HTTP/") else 400
        raise HttpError(status, f"unsupported version: {version[:20]!r}")
    asterisk = target == b"*" and method == b"OPTIONS"
    if not (target.startswith(b"/") or asterisk) or _has_control(target):
        raise HttpError(400, f"malformed request target: {target[:200]!r}")
    request.method = method.decode("ascii")
    request.target = target
    request.path, _, request.query = target.partition(b"?")
    request.minor = version[-1] - 48


def _parse_header(line, clean):
    name, colon, value = line.partition(b":")
    if not colon or not name or name.translate(None, _TOKEN):
        raise HttpError(400, f"malformed header: {line[:200]!r}")
    value = value.strip(_BLANK)
    if not clean and _has_control(value):
        raise HttpError(400, f"control character in header {name[:100]!r}")
    return name.lower(), value


def _apply_headers(request):
    """Determines from the headers the body's length, and whether the connection stays open."""
    length = None
    chunked = False
    hosts = 0
    keep_alive = request.minor == 1
    for name, value in request.headers:
        if name == b"content-length":
            if not value.isdigit() or len(value) > 18 or length not in (None, int(value)):
                raise HttpError(400, f"bad content-length: {value[:100]!r}")
            length = int(value)
        elif name == b"transfer-encoding":
            if chunked or value.lower() != b"chunked":
                raise HttpError(501, f"unsupported transfer-encoding: {value[:100]!r}")
            chunked = True
        elif name == b"connection":
            options = [option.strip(_BLANK) for option in value.lower().split(b",")]
            keep_alive = b"close" not in options and (keep_alive or b"keep-alive" in options)
        elif name == b"host":
            hosts += 1
    if hosts > 1 or (hosts == 0 and request.minor == 1):
        raise HttpError(400, f"expected one host header, got {hosts}")
    if chunked and (length is not None or request.minor == 0):
        raise HttpError(400, "transfer-encoding with content-length or HTTP/1.0")
    request.length = None if chunked else length or 0
    request.keep_alive = keep_alive


def _has_control(value):
    return len(value.translate(None, _CONTROL)) != len(value)


def as_bytes(data, what="the body of a response"):
    """An application's value as bytes. Raises TypeError unless it is a bytes-like object."""
    if type(data) is bytes:
        return data
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"{what} must be bytes, not {type(data).__name__}")
    return bytes(data)


class Response:
    """Frames one response. `started`: the head was framed; `complete`: the end was framed."""

    def __init__(self, method="GET", minor=1, keep_alive=True):
        self.method = method
        self.minor = minor
        self.keep_alive = keep_alive
        self.started = False
        self.complete = False
        self._bodiless = False
        self._chunked = False
        self._left = None

    def begin(self, status, reason, headers, extra, data):
        """The parts of the head and of the first bytes of the body.

        When this raises, the response has not started, and an error can still be answered.
        """
        parts = self.head(status, reason, headers, extra), *self.chunk(data)
        self.started = True
        return parts

    def head(self, status, reason, headers, extra=()):
        """The head's bytes. `headers` and `extra` are pairs of bytes.

        Without a Content-Length the body is sent in chunks, or up to the end of the connection
        for HTTP/1.0. Raises ValueError for a header that could split the response.
        """
        lines = [b"HTTP/1.1 %d %s" % (status, reason)]
        if _has_control(reason) or not 100 <= status <= 999:
            raise ValueError(f"malformed status: {status!r} {reason!r}")
        length = None
        for name, value in headers:
            lower = name.lower()
            if lower in _HOP_BY_HOP:
                continue
            if not name or name.translate(None, _TOKEN) or _has_control(value):
                raise ValueError(f"malformed response header: {name!r}: {value!r}")
            if lower == b"content-length":
                if not value.isdigit() or length not in (None, int(value)):
                    raise ValueError(f"malformed content-length: {value!r}")
                if length is not None:
                    continue
                length = int(value)
            lines.append(b"%s: %s" % (name, value))
        self._bodiless = not self.wants_length(status)
        self._chunked = False
        if not self._bodiless and length is None:
            if self.minor == 1:
                self._chunked = True
                lines.append(b"transfer-encoding: chunked")
            else:
                self.keep_alive = False
        self._left = length
        lines += [b"%s: %s" % pair for pair in extra]
        if not self.keep_alive:
            lines.append(b"connection: close")
        elif self.minor == 0:
            lines.append(b"connection: keep-alive")
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def wants_length(self, status):
        """Whether a Content-Length may be added to a response with this status."""
        return self.method != "HEAD" and status >= 200 and status not in (204, 304)

    def chunk(self, data):
        """The parts that carry `data`. Bytes beyond the Content-Length are dropped.

        Raises TypeError for a value that is not bytes-like.
        """
        data = as_bytes(data)
        if self._bodiless or not data:
            return ()
        if self._chunked:
            return b"%x\r\n" % len(data), data, b"\r\n"
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        return (data,)

    def end(self):
        """The parts that end the body. A body shorter than declared ends the connection."""
        self.complete = True
        if self._bodiless:
            return ()
        if self._left:
            self.keep_alive = False
        return (b"0\r\n\r\n",) if self._chunked else ()
