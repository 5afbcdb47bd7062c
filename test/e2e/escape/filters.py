"""Reads the seccomp filters of running processes, the oldest filter first.

Arguments: process ids. Prints for each process the number of its filters, and a JSON list of
programs, or null when the kernel cannot return filters (no CONFIG_CHECKPOINT_RESTORE). A program is
a list of [code, jt, jf, k].
"""

import ctypes
import errno
import json
import os
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.restype = ctypes.c_long
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
SEIZE, INTERRUPT, DETACH, GET_FILTER = 0x4206, 0x4207, 17, 0x420C
MAX_INSTRUCTIONS = 4096


class Instruction(ctypes.Structure):
    """struct sock_filter"""

    _fields_ = [
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    ]


def ptrace(request, pid, address, data=None):
    """Raises OSError."""
    result = LIBC.ptrace(request, pid, address, data)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def count(pid):
    """The number of a process's filters, as the kernel counts them."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("Seccomp_filters:"))


def installed(pid):
    """All filters of a process. The process is stopped meanwhile."""
    expected = count(pid)
    programs = []
    ptrace(SEIZE, pid, None)
    try:
        ptrace(INTERRUPT, pid, None)
        os.waitpid(pid, 0)
        for index in range(expected):
            room = (Instruction * MAX_INSTRUCTIONS)()
            try:
                length = ptrace(GET_FILTER, pid, index, room)
            except OSError as error:
                if index == 0 and error.errno in (errno.EINVAL, errno.EIO):
                    return {"count": expected, "programs": None}
                raise
            programs.append([[i.code, i.jt, i.jf, i.k] for i in room[:length]])
        return {"count": expected, "programs": programs}
    finally:
        ptrace(DETACH, pid, None)


print(json.dumps([installed(int(pid)) for pid in sys.argv[1:]]))
