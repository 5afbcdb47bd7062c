"""One connection from the worker, for use on an event loop."""

import asyncio
import posix

import _socket

from _argyle.http.conn import RECV_BYTES, ClientGone, exit_if_forked


class AsyncConnection:
    """Like conn.Connection. The socket stays blocking and is used with MSG_DONTWAIT."""

    def __init__(self, sock, buf):
        self.sock = sock
        self._pid = posix.getpid()
        self.buf = buf
        self.gone = False
        self._readable = None

    @property
    def is_own(self):
        """Like Connection.is_own."""
        return posix.getpid() == self._pid

    async def fill(self):
        """Waits for more bytes and appends them to buf. Returns False at the end of the stream."""
        before = len(self.buf)
        while not self.gone and len(self.buf) == before:
            try:
                data = self.sock.recv(RECV_BYTES, _socket.MSG_DONTWAIT)
            except BlockingIOError:
                await self.wait_readable()
                continue
            except ConnectionError:
                data = b""
            if data:
                self.buf += data
            else:
                self.gone = True
        return not self.gone

    async def wait_readable(self, event=None):
        """Waits for input, or for `event`. Returns False when the event is set."""
        loop = asyncio.get_running_loop()
        if self._readable is None:
            self._readable = loop.create_future()
            loop.add_reader(self.sock.fileno(), self._on_readable)
        if event is None:
            await asyncio.wait([self._readable])
            return True
        waiter = loop.create_task(event.wait())
        try:
            await asyncio.wait([self._readable, waiter], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()
        return not event.is_set()

    def _on_readable(self):
        asyncio.get_running_loop().remove_reader(self.sock.fileno())
        self._readable.set_result(None)
        self._readable = None

    async def send(self, *parts):
        """Sends all parts, in order. Raises ClientGone when the peer has left."""
        exit_if_forked(self._pid)
        view = memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
        while view:
            try:
                sent = self.sock.send(view, _socket.MSG_DONTWAIT)
            except BlockingIOError:
                await self.wait_fd(self.sock.fileno(), write=True)
                continue
            except ConnectionError as error:
                self.gone = True
                raise ClientGone(str(error)) from None
            view = view[sent:]

    @staticmethod
    async def wait_fd(fd, write=False):
        """Waits until a descriptor is readable, or writable. Only one task may wait for it."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def wake():
            if not future.done():
                future.set_result(None)

        (loop.add_writer if write else loop.add_reader)(fd, wake)
        try:
            await future
        finally:
            (loop.remove_writer if write else loop.remove_reader)(fd)

    def close(self):
        if self._readable is not None:
            asyncio.get_running_loop().remove_reader(self.sock.fileno())
        self.sock.close()
