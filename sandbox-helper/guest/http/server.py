"""The blocking HTTP server of function, WSGI and native handlers: one request at a time."""

import posix
import sys
import time

from _argyle import channel
from _argyle.http.body import Body, BodyReader
from _argyle.http.conn import ClientGone, Connection
from _argyle.http.http1 import HttpError, Response, parse_head, reason


# A leaf sets hide_errors and procs. hide_errors: answers do not contain exceptions
# (argyle.show_errors is false). procs: limits.procs, which the advice about an error names.
hide_errors = False
procs = 0
# The files behind /dev/stdout and /dev/stderr (a sandbox has no /proc), with the number
# of bytes that were copied to the log.
_WRITTEN = {"/host/.stdout": 1, "/host/.stderr": 2}
_copied = {}
# The directory of these files, and the time of its last known change (a new or removed entry), ns.
_WRITTEN_DIR = "/host"
_changed_ns = 0
_TICK_NS = 20_000_000
# Maximum number of bytes that are copied after a request, and the size above which a file is
# emptied, bytes.
_COPY_BYTES = 65536
_FILE_BYTES = 1 << 20
_HIDDEN = b"the function failed; its log has the exception (argyle.show_errors is false)\n"


class BootNote:
    """The `x-argyle-boot` header, which is in the first response only.

    `learn` is called when that response begins, because some facts are known only then. Its result
    is the header's text.
    """

    def __init__(self, text, learn=None):
        self._text = text
        self._learn = learn

    def take(self):
        """The header as a list of pairs, empty from the second call on."""
        if self._text is None:
            return []
        text = self._learn() if self._learn else self._text
        self._text = None
        return [(b"x-argyle-boot", text.encode("ascii"))]


class Exchange:
    """A request and the response being made to it."""

    def __init__(self, conn, request, note):
        self.conn = conn
        self.request = request
        self.body = BodyReader(conn, Body(conn.buf, request.length))
        self.response = Response(request.method, request.minor, request.keep_alive)
        self._note = note

    def start(self, status, reason, headers, data=b""):
        """Sends the head, together with the first bytes of the body."""
        flush_output()  # so that the log is complete before the worker ends the call
        self.conn.send(*self.response.begin(status, reason, headers, self._note.take(), data))

    def write(self, data):
        """Sends bytes of the body at once."""
        parts = self.response.chunk(data)
        if parts:
            self.conn.send(*parts)

    def finish(self):
        """Ends the body."""
        parts = self.response.end()
        if parts:
            flush_output()
            self.conn.send(*parts)

    def respond(self, status, content_type, data):
        """Sends a whole response. `content_type` and `data` are bytes."""
        headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(data))]
        self.start(status, reason(status), headers, data)
        self.finish()


def serve(conn, handle, note):
    """Serves `conn`, then every later connection, calling handle(exchange). Never returns."""
    while True:
        while _serve_one(conn, handle, note):
            flush_output()
        conn.close()
        conn = Connection(channel.accept())


def _serve_one(conn, handle, note):
    """Serves one request. Returns whether the connection stays open."""
    try:
        request = read_request(conn)
    except HttpError as error:
        refuse(conn, error, note)
        return False
    if request is None:
        return False
    exchange = Exchange(conn, request, note)
    try:
        handle(exchange)
        if not exchange.response.complete:
            exchange.finish()
        if exchange.response.keep_alive:
            exchange.body.drain()
    except ClientGone:
        return False
    except HttpError as error:
        if not exchange.response.started:
            refuse(conn, error, note)
        return False
    except BaseException as error:
        # SystemExit, or a package's own BaseException, such as a Rust panic.
        report_end(exchange, error)
        raise
    return exchange.response.keep_alive


def read_request(conn):
    """The next request, or None when the client has closed. Raises HttpError."""
    while (request := parse_head(conn.buf)) is None:
        if not conn.fill():
            return None
    return request


def refusal(error, note):
    """The parts of the answer to a request that failed with HttpError `error`."""
    data = f"{error}\n".encode("utf-8", "backslashreplace")
    response = Response(keep_alive=False)
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(data))]
    return response.head(error.status, reason(error.status), headers, note.take()), data


def refuse(conn, error, note):
    """Answers a request that could not be parsed; the caller closes the connection."""
    try:
        conn.send(*refusal(error, note))
    except ClientGone:
        pass


def format_exception():
    """The current exception's traceback as bytes, for a response of type text/plain."""
    import traceback

    return traceback.format_exc().encode("utf-8", "backslashreplace")


def report_exception():
    """Writes the current exception to the log. Returns the answer's body, as bytes."""
    from _argyle.apps import failure

    text = format_exception()
    if hint := failure.advice(sys.exc_info()[1]):
        text += f"{hint}\n".encode("utf-8", "backslashreplace")
    log(text)
    return _HIDDEN if hide_errors else text


def log(text):
    """Writes bytes to the log. The handler may have closed or replaced its standard error."""
    try:
        sys.stderr.write(text.decode("utf-8"))
    except (AttributeError, OSError, ValueError):
        pass  # the handler closed or replaced it


def flush_output():
    """Flushes the handler's output to the log, before the sandbox may be frozen."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        pass  # the handler closed or replaced it, or the log's reader is gone
    copy_written_files()


def copy_written_files():
    """Copies new bytes of /dev/stdout and /dev/stderr to the log."""
    global _changed_ns
    try:
        changed_ns = posix.stat(_WRITTEN_DIR).st_mtime_ns
    except OSError:
        return
    # Few handlers write to /dev/stdout or /dev/stderr. The modification time of the directory shows
    # whether a handler has made one of the two files.
    if changed_ns == _changed_ns and not _copied:
        return
    # File times change once per tick of the kernel. A second change in the same tick would not be
    # seen.
    if time.time_ns() - changed_ns > _TICK_NS:
        _changed_ns = changed_ns
    for path in _WRITTEN:
        # Usually there is no such file. An exception would cause page faults in a forked child.
        if not posix.access(path, posix.F_OK):
            continue
        try:
            size = posix.stat(path).st_size
        except OSError:
            continue  # it was removed meanwhile
        if size != _copied.get(path):
            _copy_to_log(path, size)


def _copy_to_log(path, size):
    """Copies the end of a file that stands for standard output or error to the log."""
    start = _copied.get(path, 0)
    # A file that is shorter than before was truncated by its writer.
    start = max(start if start <= size else 0, size - _COPY_BYTES)
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_NONBLOCK)
        try:
            data = posix.pread(fd, size - start, start)
        finally:
            posix.close(fd)
        # A writer may continue at its old position in an emptied file. The bytes up to this
        # position are then zero, and are left out.
        posix.write(_WRITTEN[path], data.lstrip(b"\0"))
        if size > _FILE_BYTES:
            posix.truncate(path, 0)
            size = 0
    except OSError:
        pass  # the log's reader is gone, or it is no file any more
    _copied[path] = size


def report_end(exchange, error):
    """Reports why the process is about to end, unless the handler forked this process."""
    if not exchange.conn.is_own:
        return
    from _argyle.apps import failure

    if isinstance(error, SystemExit):
        # Python prints no traceback for SystemExit.
        log(format_exception())
    flush_output()
    failure.report(exchange.conn, "the function ended its process", error, exchange)


def die(conn, what, exchange=None):
    """Logs and reports the current exception, and ends the process with code 1.

    Other threads do not delay the end. `what` begins the sentence that the function's caller reads.
    """
    from _argyle.apps import failure

    try:
        log(format_exception())
        flush_output()
        failure.report(conn, what, sys.exc_info()[1], exchange)
    finally:
        posix._exit(1)
