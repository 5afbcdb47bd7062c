"""`f(event)` handlers: the JSON body in, JSON out, and a traceback with status 500 for an error."""

from _argyle import fastjson, server


def handler(function):
    """Returns the exchange handler that calls `function`, which may be async."""
    run = _Runner()

    def handle(exchange):
        data = exchange.body.readall()
        try:
            event = fastjson.loads(data) if data else {}
            result = function(event)
            if hasattr(result, "__await__"):
                result = run(result)
            text = fastjson.dumps(result).encode("ascii")
        except Exception:
            exchange.respond(500, b"text/plain", server.format_exception())
        else:
            exchange.respond(200, b"application/json", text)

    return handle


class _Runner:
    """Awaits results on one event loop, made for the first of them."""

    def __init__(self):
        self._loop = None

    def __call__(self, awaitable):
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)

        async def wait():
            return await awaitable

        return self._loop.run_until_complete(wait())
