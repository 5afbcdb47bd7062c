"""Draws random values in two children of one process, as `twins.py GUEST_DIR [reseed]`.

Parent and children each have pid 1 in their own pid namespace, as zygotes and leaves do. A plain
clone makes them, as in libguest. Prints one JSON line per child.
"""

import ctypes
import json
import os
import random
import signal
import ssl
import sys
import tempfile

CLONE_NEWPID = 0x20000000
CLONE_NEWUSER = 0x10000000
SYS_CLONE = {"x86_64": 56, "aarch64": 220}[os.uname().machine]


def clone(flags, main):
    """Runs main() in a child and waits for it."""
    pid = ctypes.PyDLL(None).syscall(SYS_CLONE, ctypes.c_ulong(flags | signal.SIGCHLD), 0, 0, 0, 0)
    if pid == 0:
        status = 1
        try:
            main()
            status = 0
        finally:
            os._exit(status)
    if pid < 0 or os.waitpid(pid, 0)[1] != 0:
        sys.exit(f"clone: child failed ({pid})")


def draw():
    names = tempfile._get_candidate_names()
    values = [ssl.RAND_bytes(8).hex(), random.random(), next(names), os.getpid()]
    print(json.dumps(dict(zip(("ssl", "random", "tempfile", "pid"), values))), flush=True)


def child():
    if sys.argv[2:] == ["reseed"]:
        from fork import after_fork

        for reseed in after_fork.reseeds():
            reseed()
    draw()


def parent():
    draw()
    for _ in range(2):
        clone(CLONE_NEWPID, child)


sys.path.insert(0, sys.argv[1])
clone(CLONE_NEWPID | (CLONE_NEWUSER if os.getuid() else 0), parent)
