"""Attacks on other processes (memory, signals, descriptors), and on the process's own limits."""

import ctypes
import os
import signal
import socket

from . import attack
from .calls import call


@attack()
def ptrace_attach(context):
    return call(101, 16, context["other_pid"], 0, 0) == 0


@attack()
def ptrace_seize_parent(context):
    return call(101, 0x4206, os.getppid(), 0, 0) == 0


def vector(text):
    buffer = ctypes.create_string_buffer(text)
    return (ctypes.c_size_t * 2)(ctypes.addressof(buffer), len(text)), buffer


@attack()
def process_vm_readv(context):
    """Reads from its own parent, in which the addresses are the same."""
    local, keep = vector(b"x" * 8)
    remote, kept = vector(b"secret!!")
    return call(310, os.getppid(), local, 1, remote, 1, 0) == 8


@attack()
def process_vm_writev(context):
    local, keep = vector(b"x" * 8)
    remote, kept = vector(b"secret!!")
    pid = os.fork()
    if pid == 0:
        signal.pause()
    return call(311, pid, local, 1, remote, 1, 0) == 8


@attack()
def signal_other(context):
    os.kill(context["other_pid"], 0)
    return True


@attack()
def signal_other_by_pidfd(context):
    return call(424, call(434, context["other_pid"], 0), 0, None, 0) == 0


@attack()
def steal_descriptor(context):
    pidfd = call(434, os.getppid(), 0)
    return call(438, pidfd, 0, 0) >= 0


@attack()
def count_processes(context):
    """A sandbox sees only its own processes: the first process, the runner and its child."""
    seen = 0
    for pid in range(1, 70000):
        try:
            os.kill(pid, 0)
            seen += 1
        except ProcessLookupError:
            pass
        except PermissionError:
            seen += 1
    return seen > 8 and seen


@attack(control="neighbour")
def limit_other(context):
    """Raises a limit. The control has the other tenant's uid, because root may lack
    CAP_SYS_RESOURCE.
    """
    import resource

    return resource.prlimit(context["other_pid"], resource.RLIMIT_NOFILE)


@attack()
def renice_other(context):
    os.setpriority(os.PRIO_PROCESS, context["other_pid"], 5)
    return True


@attack()
def be_more_important(context):
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    return True


@attack()
def real_time(context):
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return True


@attack()
def compare_with_other(context):
    return call(312, os.getppid(), os.getpid(), 1, 0, 0) >= 0


@attack()
def advise_other(context):
    pidfd = call(434, context["other_pid"], 0)
    return call(440, pidfd, (ctypes.c_size_t * 2)(0, 0), 0, 21, 0) >= 0


@attack(control="inherited")
def answer_for_other(context):
    """An inherited listening socket of another slot could answer in that slot's name."""
    for fd in range(3, 4096):
        try:
            name = socket.socket(fileno=os.dup(fd)).getsockname()
        except OSError:
            continue
        if isinstance(name, str) and name.endswith(".sock") and context["own_socket"] not in name:
            return name
    return None


@attack(control="inherited")
def order_as_helper(context):
    """A second end of a link between the helper and a guest would receive orders."""
    links = 0
    for fd in range(3, 4096):
        try:
            end = socket.socket(fileno=os.dup(fd))
            links += end.type == socket.SOCK_SEQPACKET
        except OSError:
            continue
    return links > 1
