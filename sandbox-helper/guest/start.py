"""Runs a guest in its role: leaf, zygote or installer.

Theory of operation. The process finds its link to the helper on descriptor 3 and the slot's
listening socket on descriptor 4 (docs/guest-protocol.md). It accepts the first connection,
reads the boot frame, which must name the guest's role, waits for GO, and runs in this role. A
zygote's children return from `zygote.run` as a leaf, as a spare (a leaf that waits for its
function) or as another zygote, and go through the loop again. A guest in a container has no such
descriptors, only the path SOCKET (channel.py).
"""

import faulthandler
import gc
import sys

from _argyle import boot, channel, environ, flags
from _argyle.apps import leaf
from _argyle.fork import forkserver


def main(argv):
    """Runs the role named by argv[1] until the process is killed. Returns an exit code."""
    # One BLAS thread: cpu_percent is about one core, and a zygote with threads cannot be forked.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        environ.put(name, "1")
    role = argv[1] if len(argv) in (2, 3) else ""
    if role not in ("leaf", "zygote", "installer"):
        print(f"guest: ROLE must be leaf, zygote or installer, got {argv[1:]!r}", file=sys.stderr)
        return 2
    if len(argv) == 3:
        channel.use_path(argv[2])
    sys.stdout.reconfigure(line_buffering=True)
    # A native crash leaves Python's stack in the log. Children of a zygote inherit the handlers.
    faulthandler.enable(2)
    # These objects live until the end, so the collector need not visit them.
    gc.freeze()
    gc.enable()
    channel.protect()
    forkserver.install()
    if role != "installer":
        flags.install()
    while True:
        # The frame comes first: the worker may send it while the helper still completes the start.
        conn, document = boot.receive(role)
        if not channel.wait_go():
            return 0
        if role == "leaf":
            return leaf.run(conn, document)
        if role == "installer":
            from _argyle.install import installer

            return installer.run(conn, document)
        from _argyle.fork import zygote

        role = zygote.run(conn, document)
        if role is None:
            return 0
        if role == "spare":
            from _argyle.fork import warm

            warm.run()
            role = "leaf"
