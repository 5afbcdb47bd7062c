"""Attacks by mounts and namespaces. A sandbox may make neither."""

import ctypes
import os

from . import attack
from .calls import LIBC, call

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x20000, 0x2000000, 0x4000000
CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWTIME = 0x10000000, 0x40000000, 0x80


def mount(source, target, kind, flags):
    if LIBC.mount(source, target, kind, ctypes.c_ulong(flags), None) < 0:
        raise OSError(ctypes.get_errno(), "mount")
    return True


@attack()
def mount_tmpfs(context):
    return mount(b"x", context["tmp"].encode(), b"tmpfs", 0)


@attack()
def mount_proc(context):
    return mount(b"proc", context["tmp"].encode(), b"proc", 0)


@attack()
def mount_bind(context):
    return mount(b"/", context["tmp"].encode(), None, 4096)


@attack()
def remount_writable(context):
    return mount(None, context["remount"].encode(), None, 32 | 4096)


@attack()
def unmount(context):
    if LIBC.umount2(context["remount"].encode(), 2) < 0:
        raise OSError(ctypes.get_errno(), "umount2")
    return True


@attack()
def pivot_root(context):
    here = context["tmp"].encode()
    mount_tmpfs(context)
    os.chdir(here)
    return call(155, b".", b".") == 0


@attack()
def open_tree_clone(context):
    return call(428, -100, b"/", 1) >= 0


@attack()
def fsopen_tmpfs(context):
    return call(430, b"tmpfs", 0) >= 0


@attack()
def mount_setattr(context):
    attributes = (ctypes.c_uint64 * 4)(0, 1, 0, 0)
    return call(442, -100, context["remount"].encode(), 0, attributes, 32) == 0


def unshare(flags):
    if LIBC.unshare(flags) < 0:
        raise OSError(ctypes.get_errno(), "unshare")
    return True


@attack()
def unshare_user(context):
    return unshare(CLONE_NEWUSER)


@attack()
def unshare_mount(context):
    return unshare(CLONE_NEWNS)


@attack()
def unshare_network(context):
    return unshare(CLONE_NEWNET)


@attack()
def unshare_uts_and_cgroup(context):
    return unshare(CLONE_NEWUTS | CLONE_NEWCGROUP)


def clone_with(flags):
    pid = call(56, flags | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True


@attack()
def clone_user(context):
    return clone_with(CLONE_NEWUSER)


@attack()
def clone_mount(context):
    return clone_with(CLONE_NEWNS)


def clone3_with(flags):
    arguments = (ctypes.c_uint64 * 11)(flags, 0, 0, 0, 17)
    pid = call(435, arguments, 88)
    if pid == 0:
        os._exit(0)
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass
    return True


@attack()
def clone3_user(context):
    return clone3_with(CLONE_NEWUSER)


@attack()
def clone3_mount(context):
    return clone3_with(CLONE_NEWNS)


@attack()
def clone3_network(context):
    return clone3_with(CLONE_NEWNET)


@attack()
def clone3_time(context):
    return clone3_with(CLONE_NEWTIME)


@attack(zygote=False)
def clone3_plain(context):
    """Only a zygote may do this, to fork into slots."""
    return clone3_with(0)


@attack()
def setns_by_pidfd(context):
    pidfd = call(434, os.getpid(), 0)
    return call(308, pidfd, CLONE_NEWNS) == 0


@attack()
def set_host_name(context):
    return call(170, b"evil", 4) == 0
