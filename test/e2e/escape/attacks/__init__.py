"""Attacks from inside a sandbox. An attack that works returns a true value.

`control` names the place without the protection, in which the same code must work:
outside (as root, without a sandbox, in throwaway namespaces), user (an ordinary user without one),
noseccomp (a sandbox without its system call filter), hostnet (a sandbox with network `host`),
inherited (outside, in a process that was given the descriptors).
"""

import json
import os
import select
import signal

REGISTRY = {}


class Attack:
    """One attack. `zygote` is False for an action that a zygote may do and a leaf may not."""

    def __init__(self, function, control, zygote):
        self.function = function
        self.control = control
        self.zygote = zygote


def attack(control="outside", zygote=True):
    """Registers a function under its name."""

    def register(function):
        assert function.__name__ not in REGISTRY, function.__name__
        REGISTRY[function.__name__] = Attack(function, control, zygote)
        return function

    return register


def load():
    """Imports every module of attacks. Returns the registry."""
    from . import files, kernel, namespaces, network, processes, resources  # noqa: F401

    return REGISTRY


def run(name, context, seconds=8):
    """Runs one attack in a child. Returns {"ok": whether it worked, "detail": result or error}."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setpgid(0, 0)
            result = REGISTRY[name].function(context)
            answer = [bool(result), str(result)]
        except BaseException as error:
            answer = [False, f"{type(error).__name__}: {error}"]
        os.write(write, json.dumps(answer).encode()[:4096])
        os._exit(0)
    os.close(write)
    text = b""
    if select.select([read], [], [], seconds)[0]:
        text = os.read(read, 4096)
    os.close(read)
    for target in (os.killpg, os.kill):
        try:
            target(pid, signal.SIGKILL)
        except OSError:
            pass
    try:
        _, status = os.waitpid(pid, 0)
    except ChildProcessError:  # a zygote ignores SIGCHLD
        status = 0
    ok, detail = json.loads(text) if text else [False, f"died or hung, status {status}"]
    return {"ok": ok, "detail": detail}


def run_all(context, names=None):
    """Runs attacks one after the other. Returns their results by name."""
    return {name: run(name, context) for name in (names or load())}
