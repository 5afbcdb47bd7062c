"""The blocking HTTP server of function, WSGI and native handlers: one request at a time."""

import posix
import sys

from _argyle import channel
from _argyle.body import Body, BodyReader
from _argyle.conn import ClientGone, Connection
from _argyle.http1 import HttpError, Response, parse_head, reason


# A leaf sets both: whether answers leave out exceptions, argyle.show_errors being false; and
# limits.procs, for advice.
hide_errors = False
procs = 0
_HIDDEN = b"the function failed; its log has the exception (argyle.show_errors is false)\n"


class BootNote:
    """The `x-argyle-boot` header, which only the first response carries.

    `learn` is called when that response begins, for what only shows while the handler runs, and
    returns a text to be sent instead.
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
        head = self.response.head(status, reason, headers, self._note.take())
        self.conn.send(head, *self.response.chunk(data))

    def write(self, data):
        """Sends bytes of the body at once."""
        parts = self.response.chunk(data)
        if parts:
            self.conn.send(*parts)

    def finish(self):
        """Ends the body."""
        parts = self.response.end()
        if parts:
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
        # SystemExit, or what a package raises past everybody, as Rust's panics.
        ended(exchange, error)
        raise
    return exchange.response.keep_alive


def read_request(conn):
    """The next request, or None when the client has closed. Raises HttpError."""
    while (request := parse_head(conn.buf)) is None:
        if not conn.fill():
            return None
    return request


def refusal(error, note):
    """The parts that answer a request which HttpError `error` ended."""
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
    """Writes the current exception to the log. Returns what the answer says of it, as bytes."""
    from _argyle import failure

    text = format_exception()
    if hint := failure.advice(sys.exc_info()[1]):
        text += f"{hint}\n".encode("utf-8", "backslashreplace")
    log(text)
    return _HIDDEN if hide_errors else text


def log(text):
    """Writes bytes to the log, whatever the handler did to its standard error."""
    try:
        sys.stderr.write(text.decode("utf-8"))
    except (AttributeError, OSError, ValueError):
        pass  # the handler closed or replaced it


def flush_output():
    """Hands what the handler printed to the log, before the sandbox may be frozen."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        pass  # the handler closed or replaced it, or the log's reader is gone


def ended(exchange, error):
    """Tells why the process is about to end, unless it is one that the handler forked."""
    if not exchange.conn.is_own:
        return
    from _argyle import failure

    if isinstance(error, SystemExit):
        # Python itself prints nothing of it.
        log(format_exception())
    flush_output()
    failure.tell(exchange.conn, "the function ended its process", error, exchange)


def die(conn, what, exchange=None):
    """Logs the current exception, tells it, and ends the process with code 1, whatever threads run.

    `what` begins the sentence that the caller of the function reads.
    """
    from _argyle import failure

    try:
        log(format_exception())
        flush_output()
        failure.tell(conn, what, sys.exc_info()[1], exchange)
    finally:
        posix._exit(1)
