"""Several requests at once in one event loop, for ASGI with `concurrency` in ol.yaml.

Each connection has one request at a time, and its own task. A client that leaves does not affect
the others: its application receives the disconnect, and is cancelled if it continues.
"""

import asyncio

from _argyle import channel
from _argyle.http import server
from _argyle.http.asyncconn import AsyncConnection

# POLICY: time for an application to end by itself and to clean up after its client has left.
_GRACE_SEC = 1
# A read shows that the client has left, so the guest reads ahead. It pauses above this many bytes.
_MAX_READ_AHEAD_BYTES = 1 << 16
_LOOK_AGAIN_SEC = 0.1


class ConcurrentServer:
    """Calls `serve_one(conn, *args, server)` per request, for at most `most` requests at once."""

    def __init__(self, serve_one, args, most):
        self._serve_one = serve_one
        self._args = args
        self._most = most
        self._tasks = set()
        self._busy = 0

    async def run(self, conn):
        """Serves `conn` and every later connection. Returns only when it is cancelled."""
        self._begin(conn)
        if channel.is_dialling():
            # _dial() makes the later connections.
            await asyncio.get_running_loop().create_future()
        while True:
            await AsyncConnection.wait_fd(channel.LISTEN_FD)
            self._begin(AsyncConnection(channel.accept(), bytearray()))

    def _begin(self, conn):
        task = asyncio.get_running_loop().create_task(self._serve(conn))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task):
        self._tasks.discard(task)
        self._dial()

    async def _serve(self, conn):
        try:
            while await self._serve_one(conn, *self._args, self):
                server.flush_output()
        finally:
            conn.close()

    def _dial(self):
        # The worker cannot connect to a guest in a container. That guest keeps one idle connection
        # open for the next request.
        if channel.is_dialling() and self._busy == len(self._tasks) < self._most:
            self._begin(AsyncConnection(channel.accept(), bytearray()))

    async def run_watched(self, conn, task):
        """Waits for an application, and ends it some time after its client has left."""
        self._busy += 1
        self._dial()
        watch = asyncio.get_running_loop().create_task(_cancel_without_client(conn, task))
        try:
            await task
        except asyncio.CancelledError:
            if not conn.gone:
                raise
        finally:
            self._busy -= 1
            watch.cancel()


async def _cancel_without_client(conn, task):
    while not conn.gone:
        if len(conn.buf) > _MAX_READ_AHEAD_BYTES:
            await asyncio.sleep(_LOOK_AGAIN_SEC)
        else:
            await conn.fill()
    await asyncio.sleep(_GRACE_SEC)
    task.cancel()
