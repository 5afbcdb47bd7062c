"""Doors of the kernel: mounts, namespaces, modules, keyrings, rings, clocks."""

import ctypes
import os
import socket

from . import attack
from .calls import LIBC, call, reaches_kernel

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
    """Only a zygote may, to fork into slots."""
    return clone3_with(0)


@attack()
def setns_by_pidfd(context):
    pidfd = call(434, os.getpid(), 0)
    return call(308, pidfd, CLONE_NEWNS) == 0


@attack()
def set_host_name(context):
    return call(170, b"evil", 4) == 0


@attack()
def become_root(context):
    os.setresuid(0, 0, 0)
    return os.getuid() == 0


@attack()
def join_groups(context):
    os.setgroups([0])
    return True


@attack()
def raise_capabilities(context):
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    wanted = (ctypes.c_uint32 * 6)(1 << 1, 1 << 1, 0, 0, 0, 0)  # CAP_DAC_OVERRIDE
    return call(126, header, wanted) == 0


@attack(control="noseccomp")
def survive_the_helper(context):
    """Without a signal at its parent's death a process could live on."""
    return LIBC.prctl(1, 0, 0, 0, 0) == 0


@attack(control="noseccomp")
def add_key(context):
    return call(248, b"user", b"name", b"data", 4, -2) > 0


@attack(control="noseccomp")
def keyctl(context):
    return call(250, 0, -2, 1) != 0


@attack(control="noseccomp")
def request_key(context):
    return reaches_kernel(249, b"user", b"absent", 0, -2)


@attack(control="noseccomp")
def io_uring(context):
    return reaches_kernel(425, 1, ctypes.create_string_buffer(256))


@attack(control="noseccomp")
def userfaultfd(context):
    return call(323, 1) >= 0


@attack()
def bpf_map(context):
    return call(321, 0, (ctypes.c_uint32 * 16)(2, 4, 4, 1), 64) >= 0


@attack()
def perf_event(context):
    attributes = ctypes.create_string_buffer(128)
    attributes[0], attributes[4] = 1, 112
    return call(298, attributes, 0, -1, -1, 0) >= 0


@attack()
def load_module(context):
    return reaches_kernel(175, b"", 0, b"")


@attack()
def kexec(context):
    return reaches_kernel(246, 0, 0, None, -1)


@attack()
def swap_on(context):
    return reaches_kernel(167, b"/absent", 0)


@attack()
def process_accounting(context):
    return reaches_kernel(163, b"/absent/x")


@attack()
def kernel_log(context):
    return call(103, 10, None, 0) > 0


@attack()
def io_ports(context):
    return call(173, 0x80, 1, 1) == 0


@attack(control="noseccomp")
def modify_ldt(context):
    return call(154, 0, ctypes.create_string_buffer(64), 64) >= 0


@attack(control="noseccomp")
def no_address_randomisation(context):
    return call(135, 0x0040000) >= 0


@attack(control="noseccomp")
def push_terminal_input(context):
    return reaches_kernel(16, 0, 0x5412, b"x", refused=(1,))


@attack(control="noseccomp")
def paste_terminal_input(context):
    return reaches_kernel(16, 0, 0x541C, b"\x02", refused=(1,))


@attack(control="noseccomp")
def push_terminal_input_wide(context):
    """The kernel takes the low half of the request; a filter of 64 bits would be fooled."""
    return reaches_kernel(16, 0, 0x7FFFFFFF00005412, b"x", refused=(1,))


@attack(control="noseccomp")
def use_up_inotify(context):
    return call(294, 0) >= 0


@attack()
def fanotify(context):
    return call(300, 0, 0) >= 0


@attack(control="noseccomp")
def kernel_crypto(context):
    return socket.socket(38, socket.SOCK_SEQPACKET)
