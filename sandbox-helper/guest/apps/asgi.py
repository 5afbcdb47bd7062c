"""ASGI 3 handlers: HTTP and lifespan, on one event loop for the life of the sandbox.

The loop also runs between requests, so background tasks continue as long as the sandbox is not
frozen. SIGTERM requests a clean end: lifespan shutdown, then exit.
"""

import asyncio
import signal
import sys

from _argyle import channel
from _argyle.apps import failure
from _argyle.apps.lifespan import Lifespan, StartupFailed
from _argyle.http import paths, server
from _argyle.http.asyncconn import AsyncConnection
from _argyle.http.body import Body
from _argyle.http.conn import ClientGone, Connection
from _argyle.http.http1 import HttpError, Response, as_bytes, parse_head, reason

# While an application waits for a disconnect, bytes of the next request may arrive. Reading stops
# when more than this many are buffered.
MAX_READ_AHEAD_BYTES = 1 << 16
_FIELDS = "the names and values of headers"


def run(conn, app, name, note, concurrency=1):
    """Serves `app` on the connection and on all later ones, `concurrency` at once. Returns an exit
    code.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    main = loop.create_task(_main(conn, app, name, note, concurrency))
    loop.add_signal_handler(signal.SIGTERM, main.cancel)
    return loop.run_until_complete(main)


async def _main(conn, app, name, note, concurrency):
    lifespan = Lifespan(app)
    try:
        await lifespan.startup()
    except StartupFailed as error:
        print(f"ASGI lifespan startup failed: {error}", file=sys.stderr)
        failure.report(conn, "ASGI lifespan startup failed", error)
        return 1
    server.flush_output()
    conn = AsyncConnection(conn.sock, conn.buf)
    try:
        if concurrency > 1:
            from _argyle.apps.concurrent import ConcurrentServer

            await ConcurrentServer(_serve_one, (app, name, note, lifespan.state), concurrency).run(
                conn
            )
        while True:
            while await _serve_one(conn, app, name, note, lifespan.state):
                server.flush_output()
            conn.close()
            if not channel.is_dialling():
                await AsyncConnection.wait_fd(channel.LISTEN_FD)
            conn = AsyncConnection(channel.accept(), bytearray())
    except asyncio.CancelledError:
        await lifespan.shutdown()
        return 0


async def _serve_one(conn, app, name, note, state, concurrent=None):
    """Serves one request. Returns whether the connection stays open."""
    try:
        while (request := parse_head(conn.buf)) is None:
            if not await conn.fill():
                return False
        call = _Call(conn, request, note)
        # Each call has its own task, so that context variables do not reach the next request.
        task = asyncio.get_running_loop().create_task(call.run(app, scope(request, name, state)))
        await (task if concurrent is None else concurrent.run_watched(conn, task))
        if call.response.keep_alive:
            await call.drain()
        return call.response.keep_alive
    except ClientGone:
        return False
    except HttpError as error:
        try:
            await conn.send(*server.refusal(error, note))
        except ClientGone:
            pass
        return False


def scope(request, name, state):
    """The scope of a request; `path` includes root_path, as version 2.3 of the spec says."""
    mount, rest = paths.split(request.path, name)
    host, port = paths.authority(request.header(b"host"))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": f"1.{request.minor}",
        "method": request.method,
        "scheme": "http",
        "path": mount + rest.decode("utf-8", "replace"),
        "raw_path": request.path,
        "query_string": request.query,
        "root_path": mount,
        "headers": list(request.headers),
        "client": None,
        "server": (host, int(port or 80)),
        "state": dict(state),
        "extensions": {},
    }


class _Call:
    """One call of the application: its receive and send, and the response."""

    def __init__(self, conn, request, note):
        self.response = Response(request.method, request.minor, request.keep_alive)
        self._conn = conn
        self._request = request
        self._body = Body(conn.buf, request.length)
        self._note = note
        self._start = None
        self._body_sent = False
        self._ended = asyncio.Event()

    async def run(self, app, call_scope):
        """Calls the application. A failure becomes a 500 or an aborted response."""
        try:
            await app(call_scope, self.receive, self.send)
            if not self.response.complete and not self._conn.gone:
                raise RuntimeError("the ASGI application ended without completing its response")
        except Exception as error:
            await self._fail(error)
        except SystemExit as error:
            if self._conn.is_own and not self.response.started:
                conn = Connection(self._conn.sock)
                server.report_end(server.Exchange(conn, self._request, None), error)
            raise
        finally:
            self._ended.set()

    async def _fail(self, error):
        if self._conn.gone:
            raise ClientGone("the client left while the application ran") from None
        if not self.response.started:
            if isinstance(error, HttpError):
                raise error
            text = server.report_exception()
            headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text))]
            await self._send_head(500, headers, text)
            await self._finish()
            return
        sys.stderr.write(server.format_exception().decode("utf-8"))
        if not self.response.complete:
            # A started response cannot become an error: its missing end shows the failure.
            self.response.keep_alive = False

    async def receive(self):
        """Returns the next part of the body; http.disconnect once response or client has ended."""
        while not self._body_sent and not self._ended.is_set():
            data = self._body.next()
            if data is not None:
                self._body_sent = self._body.done
                more = not self._body_sent
                return {"type": "http.request", "body": data, "more_body": more}
            # Another reader may have found the end of the stream directly after the last bytes.
            if self._conn.gone:
                break
            await self._conn.fill(self._ended)
        while not self._conn.gone and not self._ended.is_set():
            if len(self._conn.buf) > MAX_READ_AHEAD_BYTES:
                await self._ended.wait()
            else:
                await self._conn.fill(self._ended)
        return {"type": "http.disconnect"}

    async def send(self, message):
        """Takes http.response.start and .body; each part of the body goes out at once."""
        kind = message["type"]
        if kind == "http.response.start" and self._start is None:
            self._start = message
        elif kind == "http.response.body" and self._start and not self.response.complete:
            await self._send_body(
                as_bytes(message.get("body", b"")), message.get("more_body", False)
            )
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r}")

    async def _send_body(self, data, more):
        if not self.response.started:
            given = self._start.get("headers", [])
            headers = [(as_bytes(key, _FIELDS), as_bytes(value, _FIELDS)) for key, value in given]
            known = any(key.lower() == b"content-length" for key, _ in headers)
            status = self._start["status"]
            if not more and not known and self.response.wants_length(status):
                headers.append((b"content-length", b"%d" % len(data)))
            await self._send_head(status, headers, data)
        elif data:
            await self._conn.send(*self.response.chunk(data))
        if not more:
            await self._finish()

    async def _send_head(self, status, headers, data):
        phrase = reason(status)
        parts = self.response.begin(status, phrase, headers, self._note.take(), data)
        server.flush_output()
        await self._conn.send(*parts)

    async def _finish(self):
        server.flush_output()
        await self._conn.send(*self.response.end())
        self._ended.set()

    async def drain(self):
        """Reads and discards the rest of the request's body."""
        while not self._body.done:
            if self._body.next() is None:
                if self._conn.gone:
                    raise ClientGone("the request body ended too early")
                await self._conn.fill()
