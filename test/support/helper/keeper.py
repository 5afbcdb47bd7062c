"""Removes what a test made once the test has ended, however it ended.

Reads lines from standard input: `directory PATH`, `cgroup NAME` or `worker DIR`. Its end is the
test's end.
"""

import os
import shutil
import signal
import sys
import tempfile
import time

CGROUPS = "/sys/fs/cgroup"
PATIENCE_S = 60


def cgroups(name):
    """Every directory of a cgroup and below, deepest first, in all hierarchies."""
    tops = [CGROUPS] + [f"{CGROUPS}/{entry}" for entry in os.listdir(CGROUPS)]
    for top in tops:
        for place, _, _ in os.walk(f"{top}/{name}", topdown=False):
            yield place


def remove_cgroup(name):
    """Waits until it is empty: its processes are dying with their helper."""
    end = time.monotonic() + PATIENCE_S
    while left := list(cgroups(name)):
        for place in left:
            try:
                os.rmdir(place)
            except OSError:
                pass
        if time.monotonic() > end:
            return
        time.sleep(0.05)


def stop_worker(directory):
    """Kills the worker of `ol worker up -p DIR`, if it still runs; its helper follows it."""
    try:
        with open(f"{directory}/worker/worker.pid") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/cmdline") as file:
            is_same = directory in file.read()
        if is_same:
            os.kill(pid, signal.SIGKILL)
    except (OSError, ValueError):
        pass  # it has ended


def main():
    """Collects names until the end of input, then removes what they name."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    kept = [line.rstrip("\n").split(" ", 1) for line in sys.stdin]
    for kind, name in kept:
        if kind == "worker" and name.startswith(f"{tempfile.gettempdir()}/argyle-"):
            stop_worker(name)
    for kind, name in kept:
        if kind == "cgroup" and name.startswith("argyle-t") and "/" not in name:
            remove_cgroup(name)
    for kind, name in kept:
        if kind == "directory" and name.startswith(f"{tempfile.gettempdir()}/argyle-"):
            shutil.rmtree(name, ignore_errors=True)


if __name__ == "__main__":
    main()
