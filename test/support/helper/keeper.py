"""Removes a test's files and cgroups after the test's end, even if it was killed.

Reads lines from standard input: `directory PATH`, `cgroup NAME` or `worker DIR`. The end of input
means the end of the test.
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
    """Returns a cgroup's directories in all hierarchies, deepest first."""
    tops = [CGROUPS] + [f"{CGROUPS}/{entry}" for entry in os.listdir(CGROUPS)]
    for top in tops:
        for place, _, _ in os.walk(f"{top}/{name}", topdown=False):
            yield place


def remove_cgroup(name):
    """Waits until the cgroup is empty, since its processes end with their helper."""
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
    """Kills the worker of `ol worker up -p DIR` if it still runs. Its helper then ends, too."""
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
    """Collects names until the end of input, then removes the named objects."""
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
