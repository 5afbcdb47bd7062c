"""WSGI handlers (PEP 3333).

An exception of the application ends the process, as it does in OpenLambda: the worker answers 502,
with the exception. A client that disconnects does not end the process.
"""

import io
import sys

from _argyle.http import paths, server
from _argyle.http.conn import ClientGone
from _argyle.http.http1 import HttpError, as_bytes


def handler(app, name):
    """Returns the exchange handler for WSGI application `app` of lambda `name`."""

    def handle(exchange):
        call = _Call(exchange)
        try:
            call.run(app, environ(exchange, name))
        except HttpError:
            raise
        except BaseException:
            if exchange.conn.gone:
                raise ClientGone("the client left while the application ran") from None
            if not exchange.conn.is_own:
                raise
            server.die(exchange.conn, "the application failed", exchange)

    return handle


def environ(exchange, name):
    """The WSGI environment of a request."""
    request = exchange.request
    mount, rest = paths.split(request.path, name)
    host, port = paths.authority(request.header(b"host"))
    env = {
        "REQUEST_METHOD": request.method,
        # WSGI strings hold bytes, decoded as latin-1.
        "SCRIPT_NAME": mount.encode("utf-8").decode("latin-1"),
        "PATH_INFO": rest.decode("latin-1"),
        "QUERY_STRING": request.query.decode("latin-1"),
        "REQUEST_URI": request.target.decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": f"HTTP/1.{request.minor}",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BufferedReader(exchange.body, 1 << 16),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for key, value in request.headers:
        key = key.decode("ascii").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        value = value.decode("latin-1")
        if key.startswith("HTTP_") and key in env:
            value = f"{env[key]}{'; ' if key == 'HTTP_COOKIE' else ','}{value}"
        env[key] = value
    return env


def _latin1(text):
    if not isinstance(text, str):
        raise TypeError(f"names and values of headers must be str, not {type(text).__name__}")
    return text.encode("latin-1")


class _Call:
    """One call of the application. The head is sent together with the first byte of the body."""

    def __init__(self, exchange):
        self._exchange = exchange
        self._head = None

    def run(self, app, env):
        result = app(env, self.start_response)
        try:
            if not self._exchange.response.started and isinstance(result, (list, tuple)):
                self._send_whole(result)
            else:
                for data in result:
                    if data:
                        self.write(data)
            if not self._exchange.response.started:
                self._send_head(b"")
        finally:
            if hasattr(result, "close"):
                result.close()

    def start_response(self, status, headers, exc_info=None):
        if exc_info:
            try:
                if self._exchange.response.started:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._head is not None:
            raise AssertionError("start_response was called twice without exc_info")
        if not isinstance(status, str):
            raise TypeError(f"the status must be a str, not {type(status).__name__}")
        code, _, reason = status.partition(" ")
        if len(code) != 3 or not code.isdecimal():
            raise ValueError(f"malformed status: {status!r}")
        pairs = [(_latin1(key), _latin1(value)) for key, value in headers]
        self._head = int(code), reason.encode("latin-1"), pairs
        return self.write

    def write(self, data):
        if self._exchange.response.started:
            self._exchange.write(data)
        else:
            self._send_head(data)

    def _send_whole(self, result):
        """A list's length is known, so the response needs no chunks."""
        if self._head is None:
            raise AssertionError("the application did not call start_response")
        result = [as_bytes(data) for data in result]
        status, _, pairs = self._head
        known = any(key.lower() == b"content-length" for key, _ in pairs)
        if not known and self._exchange.response.wants_length(status):
            pairs.append((b"content-length", b"%d" % sum(map(len, result))))
        for data in result:
            if data:
                self.write(data)

    def _send_head(self, data):
        if self._head is None:
            raise AssertionError("the application wrote before it called start_response")
        self._exchange.start(*self._head, data)
