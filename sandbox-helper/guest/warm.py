"""A request that a guest makes to itself, so that a real one finds everything ready.

A forked process copies each page that it writes to, and in CPython even looking at an object
writes its reference count. Most of what a first request touches is the same for every handler; a
spare has the time to touch it beforehand, while it is parked. A zygote does so before it forks, so
that its children inherit code which CPython has specialized already.
"""

import posix
import sys

import _frozen_importlib
import _frozen_importlib_external
import _socket

from _argyle import boot, channel, entry, environ, leaf

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
    """Lives a leaf's life from its boot frame to its first answer, on a connection of its own.

    By the very functions that a leaf runs, so that CPython has specialized these. Changes nothing
    that a handler can see.
    """
    link, far_link = _socket.socketpair()
    near, far = _socket.socketpair()
    # There are no sockets to be had but pairs: the second connection never comes.
    connections = iter([near])
    path, bytecode = list(sys.path), sys.dont_write_bytecode
    python_path = environ.get("PYTHONPATH")
    real = channel.accept, channel.LINK_FD, entry.HANDLER_DIR
    channel.accept, channel.LINK_FD = connections.__next__, link.fileno()
    entry.HANDLER_DIR = channel.__file__.rpartition("/")[0]
    try:
        far_link.sendall(channel.LINK_MSG.pack(channel.LINK_GO, 0, 0, 0))
        far.sendall(b"%s%d\n%s%s" % (boot.MAGIC, len(_DOCUMENT), _DOCUMENT, _REQUEST))
        far.shutdown(_socket.SHUT_WR)
        _live()
    except Exception:
        # POLICY: a package that breaks the rehearsal breaks the first request too, which tells.
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
    # As a handler's own modules may come, compiled already.
    spec = _frozen_importlib_external.spec_from_file_location("_warm", channel.__file__)
    spec.loader.exec_module(_frozen_importlib.module_from_spec(spec))
    leaf.serve(conn, document, loaded)
