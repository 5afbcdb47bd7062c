"""One connection from the worker, for use on an event loop."""

import asyncio
import posix

import _socket

from _argyle.http.conn import RECV_BYTES, ClientGone, exit_if_forked


class AsyncConnection:
    """Like conn.Connection. The socket stays blocking and is used with MSG_DONTWAIT.

    Several tasks may wait in fill(). One read at a time serves all of them. A task with a read of
    its own could take the bytes that another task waits for.
    """

    def __init__(self, sock, buf):
        self.sock = sock
        self._pid = posix.getpid()
        self.buf = buf
        self.gone = False
        # A future that resolves at the end of the current read; None without a read.
        self._read = None

    @property
    def is_own(self):
        """Like Connection.is_own."""
        return posix.getpid() == self._pid

    async def fill(self, event=None):
        """Waits for more bytes in buf, or for `event`. Returns False at the end of the stream.

        The caller must check buf again: another task may have taken the bytes, or may have found
        the end of the stream after them.
        """
        if self._read is None and not self.gone and not self._receive():
            loop = asyncio.get_running_loop()
            self._read = loop.create_future()
            loop.add_reader(self.sock.fileno(), self._on_readable)
        if self._read is not None:
            await self._wait(event)
        return not self.gone

    async def _wait(self, event):
        # asyncio.wait() does not cancel the read when its own caller is cancelled.
        if event is None:
            await asyncio.wait([self._read])
            return
        waiter = asyncio.get_running_loop().create_task(event.wait())
        try:
            await asyncio.wait([self._read, waiter], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()

    def _receive(self):
        """Appends bytes to buf, or sets `gone`. Returns False when there is nothing to read yet."""
        try:
            data = self.sock.recv(RECV_BYTES, _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except ConnectionError:
            data = b""
        self.buf += data
        self.gone = not data
        return True

    def _on_readable(self):
        if self._receive():
            self._end_read()

    def _end_read(self):
        if self._read is not None:
            asyncio.get_running_loop().remove_reader(self.sock.fileno())
            self._read.set_result(None)
            self._read = None

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
        self.gone = True
        self._end_read()
        self.sock.close()
