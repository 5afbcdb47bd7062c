"""`f(event)` handlers: body and answer are JSON; an error gives status 500 with a traceback."""

import time

from _argyle import fastjson
from _argyle.http import server

# inspect.CO_VARARGS
_CO_VARARGS = 0x04


def handler(function, started, document):
    """Returns the exchange handler that calls `function`, which may be async.

    `started` is the start of the handler's import: the first request has waited since then.
    """
    run = _Runner()
    make_context = None
    if takes_context(function):
        from _argyle.apps import context

        make_context = context.maker(document)

    def handle(exchange):
        nonlocal started
        began, started = started, None
        data = exchange.body.readall()
        try:
            event = fastjson.loads(data) if data else {}
            if make_context is None:
                result = function(event)
            else:
                began = time.perf_counter_ns() if began is None else began
                result = function(event, make_context(exchange.request, began))
            if hasattr(result, "__await__"):
                result = run(result)
            text = fastjson.dumps(result).encode("ascii")
        except Exception:
            exchange.respond(500, b"text/plain", server.report_exception())
        else:
            exchange.respond(200, b"application/json", text)

    return handle


def takes_context(function):
    """Whether `function` takes a context beside the event.

    POLICY: only when its second positional parameter has no default, or is called `context`.
    Handlers written for OpenLambda may have other parameters with defaults.
    """
    code = getattr(function, "__code__", None)
    while code is not None and code.co_flags & _CO_VARARGS and hasattr(function, "__wrapped__"):
        function = function.__wrapped__
        code = getattr(function, "__code__", None)
    bound = 0
    if code is None:
        # A method, or an object that can be called.
        method = function if hasattr(function, "__func__") else getattr(function, "__call__", None)
        function = getattr(method, "__func__", None)
        code = getattr(function, "__code__", None)
        bound = 1
    if code is None or code.co_argcount < bound + 2:
        return False
    required = code.co_argcount - len(function.__defaults__ or ())
    return required >= bound + 2 or code.co_varnames[bound + 1] == "context"


class _Runner:
    """Awaits results on one event loop, which is made for the first result."""

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
