"""Raw system calls: an attack must not be stopped by a library's own checks."""

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long


def call(number, *arguments):
    """Makes a system call; integers are passed as longs. Raises OSError."""
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    result = LIBC.syscall(ctypes.c_long(number), *words)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def reaches_kernel(number, *arguments, refused=(1, 38)):
    """True when the call works, or fails with another errno than the filter's."""
    try:
        call(number, *arguments)
    except OSError as error:
        if error.errno in refused:
            raise
    return True
