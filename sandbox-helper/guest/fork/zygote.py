"""A zygote: imports packages once, then is forked into sandboxes that start with them loaded."""

import errno
import gc
import os
import select
import sys
import time

import _thread

from _argyle import channel, fastjson
from _argyle.apps import entry
from _argyle.fork import after_fork, forklib, warm
from _argyle.http import server

# Modules that every leaf needs, and modules that many handlers and packages import. Modules that
# register fork hooks are left out (README.md): threading (and so logging, subprocess, asyncio) and
# random.
PRELOAD = (
    "_argyle.apps.leaf",
    "_argyle.apps.function",
    "_argyle.apps.wsgi",
    "_argyle.apps.native",
    "_argyle.fork.warm",
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

# CPython specializes a function after eight calls, and writes to its code until then.
_WARM_UPS = 10
# Objects that occupy memory, see fill_pools().
_plugs = []
# Sizes in CPython's small-object allocator, bytes: step, largest object, pool, header of a pool.
_STEP, _SMALL, _POOL, _POOL_HEADER = 16, 512, 1 << 14, 48


def run(conn, document):
    """Imports, reports on the connection, and serves FORK orders.

    Returns "leaf", "spare" or "zygote" in a child, which then starts again, and None in the zygote
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
        __import__("_argyle.apps.asgi")
    report = {
        "ok": error is None,
        "imports": imports,
        # This counts only Python's threads. Without /proc a guest sees no others (AG_USE_THREADS).
        "threads": _thread._count() + 1,
        "modules": len(sys.modules),
    }
    conn.send(fastjson.dumps(report).encode("ascii") + b"\n")
    conn.close()
    if error is not None:
        print(f"zygote: cannot fork: {error}", file=sys.stderr)
    # The zygote needs no listener. The descriptor's number stays in use, so that no descriptor of a
    # FORK order takes it.
    os.dup2(0, channel.LISTEN_FD, inheritable=False)
    warm_up()
    # The lookups run once here, and not in each child.
    reseeds = after_fork.reseeds()
    entry.prepare_entry_module()
    library.share_text()
    # The collector never visits frozen objects, so their pages stay shared with the children.
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


def warm_up():
    """Serves sample requests, so that children inherit the specialized code of a first request."""
    for _ in range(_WARM_UPS):
        warm.run()


def fill_pools():
    """Fills half-used pools with objects, so that children allocate in new, adjacent memory.

    Each child then copies about 50 pages less. The objects take 0.2 MB. For each size the function
    allocates until an object is the first of a new pool. The number of objects has a limit, because
    other allocators have no pools.
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

    `ms` is wall time. `kb` is the growth of the peak resident size, because no /proc is mounted.
    When one module fails, the others are still imported, and `error` names the first failure.
    Submodules are those that handlers have used. A submodule that fails is listed in `dropped`.
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
