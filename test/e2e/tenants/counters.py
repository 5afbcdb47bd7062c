"""Uses up resources that the kernel counts per user and not per cgroup, or a small part of them."""

import array
import ctypes
import fcntl
import os
import resource
import signal
import socket

LIBC = ctypes.CDLL(None, use_errno=True)
HELD = []


class Attributes(ctypes.Structure):
    """struct mq_attr"""

    _fields_ = [(n, ctypes.c_long) for n in ("flags", "maxmsg", "msgsize", "curmsgs")]
    _fields_.append(("reserved", ctypes.c_long * 4))


def checked(result):
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def queue(number, messages=10, size=8192):
    attributes = Attributes(maxmsg=messages, msgsize=size)
    name = f"/argyle-{number}".encode()
    fd = checked(LIBC.mq_open(name, os.O_CREAT | os.O_RDWR, 0o600, ctypes.byref(attributes)))
    LIBC.mq_unlink(name)  # the queue lives until its descriptor is closed
    return fd


def queue_signal(number):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGRTMIN])
    LIBC.sigqueue.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_void_p]
    return checked(LIBC.sigqueue(os.getpid(), signal.SIGRTMIN, number))


def small_pipe(number):
    HELD.extend(os.pipe())


def pipe(number):
    small_pipe(number)
    size = fcntl.fcntl(HELD[-1], 1032)  # F_GETPIPE_SZ
    if size < 65536:
        raise OSError(0, f"a pipe of {size} bytes")


def send_descriptors(number):
    """Sends descriptors that no process receives. They count until a process receives them."""
    if number % 2 == 0:
        HELD.append(socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM))
    fds = array.array("i", [0] * 253)
    HELD[-1][0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])


def lock_memory(number):
    """Locks SysV memory, which is counted per user. Other locked memory is counted per process."""
    place = checked(LIBC.shmget(0, 65536, 0o1600))
    HELD.append(place)
    checked(LIBC.shmctl(place, 11, None))  # SHM_LOCK


MEANS = {
    "message queues": queue,
    "queued signals": queue_signal,
    "pipes": pipe,
    "small pipes": small_pipe,
    "descriptors on their way": send_descriptors,
    "locked memory": lock_memory,
}


def attempt(means, times):
    """Repeats an action. Returns the number of successes, and the error at the end."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for number in range(times):
        try:
            MEANS[means](number)
        except OSError as error:
            return [number, str(error)]
    return [times, ""]


def f(event):
    return attempt(event["means"], event["times"])


if __name__ == "__main__":
    import json
    import sys

    print(json.dumps(attempt(sys.argv[1], int(sys.argv[2]))))
