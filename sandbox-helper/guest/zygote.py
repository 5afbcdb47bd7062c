"""A zygote: imports packages once, then is forked into sandboxes that start with them loaded."""

import errno
import gc
import os
import select
import sys
import time

import _thread

from _argyle import channel, entry, fastjson, forked, forklib, server, warm

# What leaves need sooner or later, and what many handlers and packages import, so that no fork
# pays for it. Modules that hook into every fork are left out, see README.md: threading (and so
# logging, subprocess, asyncio) and random.
PRELOAD = (
    "_argyle.leaf",
    "_argyle.function",
    "_argyle.wsgi",
    "_argyle.native",
    "_argyle.warm",
    "json",
    "traceback",
    "base64",
    "dataclasses",
    "datetime",
    "hashlib",
    "inspect",
    "pathlib",
    "typing",
    "urllib.parse",
)

# CPython specializes a function's code after eight calls, and writes to it until then.
_REHEARSALS = 10
# Objects that are there to take up room, see fill_pools().
_plugs = []
# CPython's small-object allocator: step between its sizes, largest size, size and header of a pool.
_STEP, _SMALL, _POOL, _POOL_HEADER = 16, 512, 1 << 14, 48


def run(conn, document):
    """Imports, reports on the connection, and serves FORK orders.

    Returns "leaf", "spare" or "zygote" in a child, which then starts over, and None in the zygote
    once the helper has closed the link.
    """
    gc.disable()
    base_path = list(sys.path)
    sys.path[:0] = document.get("sys_path", [])
    for name in PRELOAD:
        __import__(name)
    library, error = _load_library()
    imports = [import_package(item, library) for item in document.get("imports", [])]
    if "asyncio" in sys.modules:
        __import__("_argyle.asgi")
    report = {
        "ok": error is None,
        "imports": imports,
        # Python's own: without /proc no others can be seen from inside (AG_USE_THREADS).
        "threads": _thread._count() + 1,
        "modules": len(sys.modules),
    }
    conn.send(fastjson.dumps(report).encode("ascii") + b"\n")
    conn.close()
    if error is not None:
        print(f"zygote: cannot fork: {error}", file=sys.stderr)
    # The listener is done with; its descriptor number stays taken, so that none of those that
    # come with a FORK order lands on it.
    os.dup2(0, channel.LISTEN_FD, inheritable=False)
    rehearse()
    # Looked up and made here, once, instead of in each child.
    reseeds = forked.reseeds()
    entry.make_ahead()
    library.share_text()
    # Objects that the collector never visits again keep their pages shared with the children.
    gc.collect()
    _plugs.extend(fill_pools())
    gc.freeze()
    gc.enable()
    role = serve_forks(library)
    if role is not None:
        sys.path[:] = base_path
        for reseed in reseeds:
            reseed()
    return role


def rehearse():
    """Serves made-up requests, so that children find the code of a first one specialized."""
    for _ in range(_REHEARSALS):
        warm.run()


def fill_pools():
    """Objects that use up the free room in half-used pools, so that children allocate side by side.

    Saves each child the copies of some 50 pages, for 0.2 MB here. One size at a time, until an
    object is the first of a new pool; with another allocator that never shows, hence the limit.
    """
    plugs = []
    empty = sys.getsizeof(b"")
    for size in range(48, _SMALL + 1, _STEP):
        for _ in range(4 * _POOL // size):
            plug = bytes(size - empty)
            if id(plug) % _POOL == _POOL_HEADER:
                break
            plugs.append(plug)
    return plugs


def import_package(item, library):
    """Imports a package's modules. Returns its line of the report.

    `ms` is wall time; `kb` the growth of the peak resident size, since no /proc is mounted. The
    other modules are tried when one fails; `error` names the first that did. Submodules are what
    handlers were seen to use: one that fails is only left out, and `dropped` names it.
    """
    error = None
    dropped = []
    size = library.peak_kb()
    started = time.perf_counter()
    for name in item["modules"]:
        try:
            __import__(name)
        except BaseException as failure:
            error = error or f"{name}: {type(failure).__name__}: {failure}"
            sys.stderr.write(server.format_exception().decode("utf-8"))
    for name in item.get("submodules", ()):
        try:
            __import__(name)
        except BaseException:
            dropped.append(name)
    ms = round((time.perf_counter() - started) * 1e3, 3)
    kb = library.peak_kb() - size
    server.flush_output()
    return {"spec": item["spec"], "ms": ms, "kb": kb, "error": error, "dropped": dropped}


def _load_library():
    try:
        return forklib.LibGuest(), None
    except ImportError as error:
        return forklib.NoLibGuest(), error


def serve_forks(library):
    """Carries out FORK orders. Returns the role in a child, None when the link is closed."""
    poll = select.poll()
    poll.register(channel.LINK_FD, select.POLLIN)
    while True:
        poll.poll()
        result = library.fork()
        if result > 0:
            return forklib.ROLES[result]
        if result == -errno.ENOTCONN:
            return None
        if result < 0:
            print(f"zygote: cannot go on: {os.strerror(-result)}", file=sys.stderr)
            os._exit(1)
