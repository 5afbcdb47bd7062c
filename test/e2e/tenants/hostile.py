"""A malicious package in a zygote: takes the place of what carries out FORK orders.

What it is to do stands in task.json beside it; what it found out it prints as RESULT lines.
"""

import array
import json
import os
import socket
import time

from _argyle import channel, forklib

TASK = json.load(open(f"{os.path.dirname(__file__)}/task.json"))
FDS = 8


def error_of(action, *arguments, **options):
    """What an action fails with, or None."""
    try:
        action(*arguments, **options)
    except OSError as error:
        return error.strerror
    return None


def report(name, value):
    print(f"RESULT {json.dumps([name, value])}", flush=True)


def take_order(flags):
    """An order and its descriptors; with MSG_PEEK it stays there for the real thing."""
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
    """Answers for others: every slot and number that an order to another zygote may have."""
    end = time.monotonic() + TASK["seconds"]
    while time.monotonic() < end:
        for number in range(*TASK["numbers"]):
            for slot in TASK["slots"]:
                answer(own_role, number << 32 | slot, -1)


def explore(root, cgroup, *_):
    """Where the descriptors of a slot lead to."""
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
    """A child that moves to its leaf's cgroup, so that the zygote's is empty of it."""
    if os.fork() == 0:
        fd = os.open("cgroup.procs", os.O_WRONLY, dir_fd=cgroup)
        report("moving", TASK["mode"])  # before, because it may be killed for it
        os.write(fd, b"0")
        while True:
            time.sleep(1)


def squat(_root, _cgroup, _listener, _log, _link, *tasks):
    """A child that moves to its leaf's v1 cgroups, which then can't be removed for it."""
    if os.fork() == 0:
        for fd in tasks:
            os.write(fd, b"0")
        report("squatting", len(tasks))
        while True:
            time.sleep(1)


# What it does with a slot's descriptors, once it has carried the order out.
BESIDE_FORK = {"keep": explore, "hide": hide, "squat": squat}


def fork(library):
    """Instead of forklib.LibGuest.fork."""
    mode = TASK["mode"]
    if mode in BESIDE_FORK:
        _, fds = take_order(socket.MSG_PEEK)
        result = GENUINE(library)
        if result == 0:
            BESIDE_FORK[mode](*fds)
        return result
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
