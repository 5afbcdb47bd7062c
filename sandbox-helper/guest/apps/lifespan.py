"""The ASGI lifespan protocol. An application that does not support it is served as well."""

import asyncio


class StartupFailed(Exception):
    """The application sent lifespan.startup.failed; the text is its message."""


class Lifespan:
    """`state` holds what the application stored at startup. Each request gets a copy."""

    def __init__(self, app):
        self.state = {}
        self._app = app
        self._task = None
        self._inbox = asyncio.Queue()
        self._answer = asyncio.Event()
        self._failure = None

    async def startup(self):
        """Waits for the application to start up. Raises StartupFailed."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        await self._exchange("lifespan.startup")
        if self._failure is not None:
            raise StartupFailed(self._failure)

    async def shutdown(self):
        """Sends the shutdown to an application that supports the protocol, and waits for it."""
        if not self._task.done():
            await self._exchange("lifespan.shutdown")

    async def _exchange(self, kind):
        self._answer.clear()
        self._inbox.put_nowait({"type": kind})
        await self._answer.wait()

    async def _run(self):
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._inbox.get, self._send)
        except Exception:
            pass  # by the specification: the application does not support lifespan
        finally:
            self._answer.set()

    async def _send(self, message):
        if message["type"] in ("lifespan.startup.failed", "lifespan.shutdown.failed"):
            self._failure = message.get("message", "")
        self._answer.set()
