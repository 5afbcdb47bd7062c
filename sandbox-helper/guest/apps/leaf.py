"""A leaf: loads one handler and serves it until the sandbox is killed."""

import sys

from _argyle import fastjson
from _argyle.apps import entry, function
from _argyle.http import server


def run(conn, document):
    """Serves the handler that the boot document names. Returns only when asked to shut down.

    When the handler cannot be imported, the first request is answered with the reason (failure.py),
    and the process ends with code 1 and a traceback in the log.
    """
    try:
        loaded = load(document)
    except BaseException:
        server.die(conn, "the function could not be loaded")
    return serve(conn, document, loaded)


def load(document):
    """Loads the handler. Passes on any exception of the import."""
    server.hide_errors = bool(document.get("hide_errors"))
    server.procs = document.get("limits", {}).get("procs", 0)
    entry.prepare(document)
    if document.get("runtime") == "native":
        from _argyle.apps import native

        return entry.Entry("native", native.find(), 0, 0, [], len(sys.modules))
    loaded = entry.load(document)
    if loaded.kind != "asgi" and "concurrency" in document:
        raise ValueError(
            f"concurrency is {document['concurrency']} in ol.yaml, but only an ASGI application "
            f"serves several requests at once, and this is a {loaded.kind} entry"
        )
    return loaded


def serve(conn, document, loaded):
    """Serves the handler, first on `conn`. Returns only when asked to shut down."""
    report = {"import_ms": loaded.import_ms, "modules": loaded.specs}

    def learn():
        try:
            return fastjson.dumps({**report, "submodules": entry.submodules(loaded.known)})
        except Exception:
            # POLICY: an error in the inspection of modules does not fail the request.
            return fastjson.dumps(report)

    note = server.BootNote(fastjson.dumps(report), learn if document.get("learn") else None)
    name = document.get("name", "")
    if loaded.kind == "asgi":
        from _argyle.apps import asgi

        return asgi.run(conn, loaded.target, name, note, document.get("concurrency", 1))
    server.serve(conn, _handler(loaded, name, document), note)


def _handler(loaded, name, document):
    if loaded.kind == "function":
        return function.handler(loaded.target, loaded.started, document)
    if loaded.kind == "wsgi":
        from _argyle.apps import wsgi

        return wsgi.handler(loaded.target, name)
    from _argyle.apps import native

    return native.handler(loaded.target)
