"""Reports why there is no answer: a handler that cannot be loaded, or that ends its process.

The response has status 502 and the field `x-argyle-failure`, which holds one sentence as JSON. Its
body is the traceback. The worker puts both into its own answer. This module is loaded when needed.
"""

import errno

from _argyle import channel, fastjson
from _argyle.apps import entry
from _argyle.http import server
from _argyle.http.conn import ClientGone, Connection
from _argyle.http.http1 import HttpError, Response

# Limits of an exception's text in the sentence, and of the traceback, whose end is kept.
_MAX_TEXT = 500
_MAX_TRACE_BYTES = 1 << 15
# The rest of a request's body is read, because unread bytes would cut off the answer.
_MAX_DRAIN_BYTES = 1 << 20


def report(conn, what, error, exchange=None):
    """Answers the request of `exchange`, or the next request, with the reason of the failure.

    `what` begins the sentence. Does nothing when a response has started or the worker has closed
    the connection.
    """
    trace = server.format_exception()[-_MAX_TRACE_BYTES:]
    sentence = f"{what}: {describe(error)}"
    if server.hide_errors:
        sentence, trace = f"{what}; its log says why", b""
    try:
        if exchange is None:
            conn, exchange = _await_request(conn)
        elif exchange.response.started:
            return
        response = Response(exchange.request.method, 1, False)
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(trace)),
            (b"x-argyle-failure", fastjson.dumps(sentence).encode("ascii")),
        ]
        conn.send(response.head(502, b"Bad Gateway", headers, ()), *response.chunk(trace))
        if (exchange.request.length or 0) <= _MAX_DRAIN_BYTES:
            exchange.body.drain()
    except (ClientGone, HttpError):
        pass


def _await_request(conn):
    while True:
        request = server.read_request(conn)
        if request is not None:
            return conn, server.Exchange(conn, request, None)
        conn.close()
        conn = Connection(channel.accept())


def describe(error):
    """The exception in one line, with advice where there is some."""
    text = " ".join(str(error).split())[:_MAX_TEXT]
    name = type(error).__name__
    hint = advice(error)
    return (f"{name}: {text}" if text else name) + (f" ({hint})" if hint else "")


def advice(error):
    """Advice about an exception, or None."""
    if isinstance(error, ModuleNotFoundError):
        spec = _package_of(error)
        need = f"{spec} needs it: list" if spec else "list"
        return f"{need} the package that has it in requirements.txt, see docs/packages.md"
    text = str(error)
    refused = "can't start new thread" in text or "Resource temporarily unavailable" in text
    if refused or (isinstance(error, BlockingIOError) and error.errno == errno.EAGAIN):
        return (
            f"limits.procs is {server.procs}; if it was reached, raise it in the function's ol.yaml"
        )
    return None


def _package_of(error):
    """The spec of the package whose code raised the error, or None for code outside of packages."""
    trace, spec = error.__traceback__, None
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if path.startswith(entry.PACKAGES_DIR):
            spec = path[len(entry.PACKAGES_DIR) :].partition("/")[0]
        elif path.startswith(entry.HANDLER_DIR):
            spec = None
        trace = trace.tb_next
    return spec
