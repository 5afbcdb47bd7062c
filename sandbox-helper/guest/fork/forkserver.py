"""Replaces `multiprocessing.popen_forkserver`, which implements the start method "forkserver".

Python's module starts children over a listening unix socket, and a sandbox may not listen. This
module makes children like "spawn": fresh, and without a server that has imported modules. Where a
sandbox may have unix sockets (argyle.network is host), Python's module is loaded.
"""

import sys

NAME = "multiprocessing.popen_forkserver"


def install():
    """Replaces Python's module, of which multiprocessing uses the class `Popen` (__getattr__())."""
    sys.modules[NAME] = sys.modules[__name__]


def __getattr__(name):
    if name != "Popen":
        raise AttributeError(name)
    import importlib

    module = "multiprocessing.popen_spawn_posix"
    if _has_unix_sockets():
        sys.modules.pop(NAME, None)
        module = NAME
    return importlib.import_module(module).Popen


def _has_unix_sockets():
    import _socket

    try:
        _socket.socket(_socket.AF_UNIX).close()
    except OSError:
        return False
    return True
