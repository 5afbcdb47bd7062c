"""A malicious package in a zygote. It replaces the code that executes FORK orders.

task.json beside it names its task. It prints its findings as RESULT lines.
"""

import array
import ctypes
import errno
import json
import os
import socket
import struct
import time

from _argyle import channel
from _argyle.fork import forklib


def read_task():
    return json.load(open(f"{os.path.dirname(__file__)}/task.json"))


TASK = read_task()
FDS = 10
LIBC = ctypes.CDLL(None, use_errno=True)
# System calls by their numbers on x86-64 and arm64.
UNSHARE, SETNS, SETGROUPS = (272, 308, 116) if os.uname().machine == "x86_64" else (97, 268, 159)
CLONE3 = 435
NEWUSER, NEWNET, NEWNS, NEWPID, INTO_CGROUP = 0x10000000, 0x40000000, 0x20000, 0x20000000, 1 << 33


def error_of(action, *arguments, **options):
    """The error of an action, or None."""
    try:
        action(*arguments, **options)
    except OSError as error:
        return error.strerror
    return None


def report(name, value):
    print(f"RESULT {json.dumps([name, value])}", flush=True)


def take_order(flags):
    """Reads an order and its descriptors. With MSG_PEEK the order stays for the real guest."""
    link = socket.socket(fileno=os.dup(channel.LINK_FD))
    data, ancillary, _, _ = link.recvmsg(channel.LINK_MSG.size, socket.CMSG_SPACE(4 * FDS), flags)
    fds = array.array("i")
    for _, _, rights in ancillary:
        fds.frombytes(rights)
    return data, list(fds)


def answer(role, ticket, result):
    message = channel.LINK_MSG.pack(channel.LINK_FORKED, role, ticket, result)
    os.write(channel.LINK_FD, message)


def forge(own_role):
    """Answers orders of other zygotes, for every slot and sequence number that they may have."""
    end = time.monotonic() + TASK["seconds"]
    while time.monotonic() < end:
        for number in range(*TASK["numbers"]):
            for slot in TASK["slots"]:
                answer(own_role, number << 32 | slot, -1)


def explore(root, cgroup, *_):
    """The files and directories that a slot's descriptors lead to."""
    up = os.open("..", os.O_PATH, dir_fd=root)
    slots = {
        "enter": error_of(os.fchdir, up),
        "list": error_of(os.open, "..", os.O_RDONLY, dir_fd=root),
        "climb": error_of(os.open, "..", os.O_PATH, dir_fd=up),
        "code": error_of(os.open, "../../code/victim/secret.txt", os.O_RDONLY, dir_fd=root),
        "packages": error_of(os.open, "../../packages", os.O_RDONLY, dir_fd=root),
        "write": error_of(os.mkdir, "new", dir_fd=root),
    }
    report("slots", slots)
    group = {"list": error_of(os.open, "..", os.O_RDONLY, dir_fd=cgroup)}
    group["beyond"] = (
        os.stat("../../../..", dir_fd=cgroup).st_ino == os.stat("..", dir_fd=cgroup).st_ino
    )
    for name in ("cgroup.kill", "cgroup.freeze", "cgroup.subtree_control", "cgroup.max.depth"):
        group[name] = error_of(os.open, name, os.O_WRONLY, dir_fd=cgroup)
        group[f"../{name}"] = error_of(os.open, f"../{name}", os.O_WRONLY, dir_fd=cgroup)
    group["mkdir"] = error_of(os.mkdir, "new", dir_fd=cgroup)
    report("cgroup", group)


def hide(_root, cgroup, *_):
    """Forks a child that moves to its leaf's cgroup, so the zygote's cgroup does not count it."""
    if os.fork() == 0:
        fd = os.open("cgroup.procs", os.O_WRONLY, dir_fd=cgroup)
        report("moving", TASK["mode"])  # first, because the next step may kill this process
        os.write(fd, b"0")
        while True:
            time.sleep(1)


def squat(_root, _cgroup, _listener, _log, _errors, _link, _user, *tasks):
    """Forks a child that moves to its leaf's v1 cgroups, which then cannot be removed."""
    if os.fork() == 0:
        for fd in tasks:
            os.write(fd, b"0")
        report("squatting", len(tasks))
        while True:
            time.sleep(1)


def call(number, *arguments):
    """Makes a system call. Returns the name of its error, or None."""
    if LIBC.syscall(number, *arguments) >= 0:
        return None
    return errno.errorcode[ctypes.get_errno()]


def clone(flags, cgroup=0):
    arguments = struct.pack("11Q", flags, 0, 0, 0, 17, 0, 0, 0, 0, 0, cgroup)
    pid = LIBC.syscall(CLONE3, ctypes.create_string_buffer(arguments), len(arguments))
    return pid if pid >= 0 else errno.errorcode[ctypes.get_errno()]


def taken_ids():
    """The ids that it could take, and the calls that took them."""
    calls = (os.setuid, os.setgid), (os.setreuid, os.setregid), (os.setresuid, os.setresgid)
    return [
        [one, action.__name__]
        for one in TASK["ids"]
        for count, actions in enumerate(calls, 1)
        for action in actions
        if error_of(action, *[one] * count) is None
    ]


def become_others():
    """The error of taking each named id as gid and as uid, by name."""

    def name_of(action, one):
        try:
            action(one, one, one)
        except OSError as error:
            return errno.errorcode[error.errno]
        return None

    names = TASK["others"].items()
    return {name: [name_of(os.setresgid, one), name_of(os.setresuid, one)] for name, one in names}


def become_own():
    """The first id of a range that it can take, or None."""
    for one in range(*TASK["block"]):
        if error_of(os.setresuid, one, one, one) is None:
            return one
    return None


def kill_error():
    """The error of a signal to its child, process 2 of its namespace.

    The signal succeeds until the child has taken its ids.
    """
    deadline = time.monotonic() + 10
    while (told := error_of(os.kill, 2, 0)) is None and time.monotonic() < deadline:
        time.sleep(0.001)
    return told


def empower(_root, _cgroup, _listener, _log, _errors, _link, user, *_):
    """The actions of the zygote by itself, and in the child's user namespace."""
    group = (ctypes.c_uint * 1)(0)
    report(
        "zygote",
        {
            "ids": taken_ids(),
            "setgroups": call(SETGROUPS, 1, group),
            "unshare": call(UNSHARE, NEWUSER),
            "user": clone(NEWUSER),
            "net": clone(NEWNET),
            "mount": clone(NEWNS),
            "setns": [call(SETNS, user, kind) for kind in (0, NEWPID, NEWNS)],
            "kill": kill_error(),
        },
    )
    if os.fork() == 0:
        told = {"enter": call(SETNS, user, NEWUSER), "ids": taken_ids()}
        told["net"], told["user"] = clone(NEWNET), clone(NEWUSER)
        told["own"] = error_of(os.setresuid, 1000, 1000, 1000)
        report("inside", told)
        os._exit(0)


def bear(mode):
    """Forks by itself. The child keeps its ids, or tries to take others."""
    data, fds = take_order(0)
    if mode == "become":
        TASK.update(read_task())
        report("zygote", become_others())
    _, role, ticket, _ = channel.LINK_MSG.unpack(data)
    pid = clone(NEWPID | INTO_CGROUP, fds[1])
    if pid != 0:
        return 0
    for fd in fds[7:]:
        os.write(fd, b"0")
    entered = None if mode == "stay" else call(SETNS, fds[6], NEWUSER)
    if mode == "choose":
        report("newborn", {"enter": entered, "ids": taken_ids()})
    if mode == "become":
        report("newborn", {"enter": entered, **become_others(), "own": become_own()})
    answer(role, ticket, 0)
    while True:
        time.sleep(1)


# Its actions with a slot's descriptors after it has executed the order.
BESIDE_FORK = {"keep": explore, "hide": hide, "squat": squat, "empower": empower}


def fork(library):
    """Replaces forklib.LibGuest.fork."""
    mode = TASK["mode"]
    if mode in BESIDE_FORK:
        _, fds = take_order(socket.MSG_PEEK)
        result = GENUINE(library)
        if result == 0:
            BESIDE_FORK[mode](*fds)
        return result
    if mode in ("stay", "choose", "become"):
        return bear(mode)
    data, _ = take_order(0)
    if not data:
        os._exit(0)
    _, role, ticket, _ = channel.LINK_MSG.unpack(data)
    if mode == "nonsense":
        os.write(channel.LINK_FD, b"\xff" * 100)
    elif mode == "claim":
        answer(role, ticket, 0)
    elif mode == "fail":
        answer(role, ticket, -13)
    elif mode == "forge":
        forge(role)
        answer(role, ticket, -13)
    return 0


GENUINE = forklib.LibGuest.fork
forklib.LibGuest.fork = fork
