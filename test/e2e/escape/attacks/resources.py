"""Attacks that use up resources of the machine: processes, memory, disk, files."""

import os
import signal

from . import attack

MIB = 1 << 20


@attack()
def fork_bomb(context):
    """Works when far more processes live at once than the sandbox's limit."""
    born = 0
    while born < context["processes"] + 20:
        if os.fork() == 0:
            signal.pause()
        born += 1
    return born


@attack()
def fill_memory(context):
    kept = []
    for _ in range(context["memory_mib"] * 2):
        kept.append(os.urandom(MIB))
    return len(kept)


@attack()
def fill_memory_by_shared(context):
    """The pages of a memory file do not count in the size of any process."""
    fd = os.memfd_create("x")
    for _ in range(context["memory_mib"] * 2):
        os.write(fd, b"x" * MIB)
    return True


def fill(path, mib):
    with open(path, "wb", buffering=0) as file:
        for _ in range(mib):
            if file.write(b"\0" * MIB) != MIB:
                return False
    os.unlink(path)
    return True


@attack()
def fill_tmp(context):
    return fill(f"{context['tmp']}/big", context["scratch_mib"] + 1)


@attack()
def fill_host(context):
    return fill(f"{context['host']}/big", context["scratch_mib"] + 1)


@attack()
def fill_shared_memory(context):
    return fill(f"{context['shm']}/big", context["scratch_mib"] + 1)


@attack()
def fill_by_reservation(context):
    fd = os.open(f"{context['tmp']}/reserved", os.O_CREAT | os.O_RDWR)
    os.posix_fallocate(fd, 0, (context["scratch_mib"] + 1) * MIB)
    return True


@attack()
def fill_with_empty_files(context):
    os.mkdir(f"{context['tmp']}/many")
    for number in range(context["scratch_mib"] * 256 + 200):
        os.close(os.open(f"{context['tmp']}/many/{number}", os.O_CREAT))
    return True
