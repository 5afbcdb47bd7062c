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

from _argyle import boot, channel, entry, fastjson, function, server
from _argyle.conn import Connection

_DOCUMENT = (
    b'{"role": "leaf", "name": "warm", "runtime": "python", "entry_file": "f.py",'
    b' "sys_path": ["/packages/warm==1.0/files"], "env": {"WARM": "1"}, "n": [1, 2.5, null, true]}'
)
_REQUEST = (
    b"POST /run/warm HTTP/1.1\r\nhost: root\r\nconnection: keep-alive\r\n"
    b"content-type: application/json\r\naccept: */*\r\ncontent-length: 34\r\n\r\n"
    b'{"a": 1, "b": [true, 2.5, "text"]}'
)
_SOURCE = b"import sys\n\n\ndef f(event):\n    return event\n"


def run():
    """Serves one request on a socket pair. Changes nothing that a handler can see."""
    try:
        _rehearse()
    except Exception:
        # POLICY: a package that breaks the rehearsal breaks the first request too, which tells.
        pass


def _rehearse():
    near, far = _socket.socketpair()
    far.sendall(b"%s%d\n%s%s" % (boot.MAGIC, len(_DOCUMENT), _DOCUMENT, _REQUEST))
    conn = Connection(near)
    boot._read_document(conn)
    # Finds the C function, which costs whoever calls it first ten pages.
    posix.chdir(".")
    known = len(sys.modules)
    # As a handler's own modules may come, compiled already, and then as its entry file does.
    spec = _frozen_importlib_external.spec_from_file_location("_warm", channel.__file__)
    spec.loader.exec_module(_frozen_importlib.module_from_spec(spec))
    entry._import_file("_warm", channel.__file__)
    del sys.modules["_warm"]
    module = type(sys)("f")
    exec(entry._compile(_SOURCE, "/handler/f.py"), module.__dict__)
    _, target = entry.select(module)
    specs = entry._loaded_specs(known)
    note = server.BootNote(fastjson.dumps({"import_ms": 0.123, "modules": specs}))
    server._serve_one(conn, function.handler(target), note)
    far.recv(4096)
    far.close()
    conn.close()
