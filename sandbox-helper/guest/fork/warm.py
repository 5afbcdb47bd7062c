"""The warm-up: a request that a guest makes to itself before the first real one.

A forked process copies each page that it writes to, and CPython writes an object's reference count
whenever it uses the object. A first request uses mostly the same objects for every handler. A spare
uses them while it is parked. A zygote uses them before it forks, so that its children inherit code
that CPython has specialized.
"""

import posix
import sys

import _frozen_importlib
import _frozen_importlib_external
import _socket

from _argyle import boot, channel, environ
from _argyle.apps import entry, leaf

_DOCUMENT = (
    b'{"role": "leaf", "name": "warm", "runtime": "python", "entry_file": "_argyle_sample.py",'
    b' "sys_path": ["/packages/warm==1.0/files"], "env": {"ARGYLE_WARM": "1"},'
    b' "n": [1, 2.5, null, true]}'
)
_REQUEST = (
    b"POST /run/warm HTTP/1.1\r\nhost: root\r\nconnection: keep-alive\r\n"
    b"content-type: application/json\r\naccept: */*\r\ncontent-length: 34\r\n\r\n"
    b'{"a": 1, "b": [true, 2.5, "text"]}'
)


def run():
    """Runs a leaf from its boot frame to its first answer, on a socket pair.

    Calls the same functions as a leaf, so that CPython specializes them. Leaves no trace that a
    handler can see.
    """
    link, far_link = _socket.socketpair()
    near, far = _socket.socketpair()
    # After this connection accept() raises StopIteration, which ends the warm-up.
    connections = iter([near])
    path, bytecode = list(sys.path), sys.dont_write_bytecode
    python_path = environ.get("PYTHONPATH")
    real = channel.accept, channel.LINK_FD, entry.HANDLER_DIR
    channel.accept, channel.LINK_FD = connections.__next__, link.fileno()
    entry.HANDLER_DIR = __file__.rpartition("/")[0]
    try:
        far_link.sendall(channel.LINK_MSG.pack(channel.LINK_GO, 0, 0, 0))
        far.sendall(b"%s%d\n%s%s" % (boot.MAGIC, len(_DOCUMENT), _DOCUMENT, _REQUEST))
        far.shutdown(_socket.SHUT_WR)
        _live()
    except Exception:
        # POLICY: a package that breaks the warm-up also breaks the first request, which reports it.
        pass
    finally:
        channel.accept, channel.LINK_FD, entry.HANDLER_DIR = real
        sys.path[:], sys.dont_write_bytecode = path, bytecode
        environ.pop("ARGYLE_WARM")
        environ.pop("PYTHONPATH")
        if python_path is not None:
            environ.put("PYTHONPATH", python_path)
        posix.chdir("/")
        sys.modules.pop("_argyle_sample", None)
        for sock in (link, far_link, near, far):
            sock.close()


def _live():
    conn, document = boot.receive("leaf")
    channel.wait_go()
    loaded = leaf.load(document)
    # Importing a handler's own module may compile it. This import runs the same code once.
    spec = _frozen_importlib_external.spec_from_file_location("_warm", channel.__file__)
    spec.loader.exec_module(_frozen_importlib.module_from_spec(spec))
    leaf.serve(conn, document, loaded)
