"""Times processes for the bench, with less overhead than the bench's own runtime would add.

Reads one JSON document a line on stdin and answers each with one line on stdout.
`{"op": "spawn", "argv": [...]}` starts a program and waits for its end.
`{"op": "fork"}` forks this process; the child says when it runs, and leaves.
The answer is `{"ms": 1.23, "status": 0, "output": ""}`; the output is given for failures only.
"""

import argparse
import gc
import importlib
import json
import os
import struct
import sys
import time


def spawn(argv):
    """Runs a program to its end; its output is kept out of the way."""
    output_fd = os.memfd_create("output")
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output_fd, 1),
        (os.POSIX_SPAWN_DUP2, output_fd, 2),
    ]
    started = time.perf_counter_ns()
    pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)
    _, wait_status = os.waitpid(pid, 0)
    ended = time.perf_counter_ns()
    status = os.waitstatus_to_exitcode(wait_status)
    output = ""
    if status != 0:
        output = os.pread(output_fd, 2000, 0).decode(errors="replace")
    os.close(output_fd)
    return {"ms": (ended - started) / 1e6, "status": status, "output": output}


def fork():
    """Forks; the time ends when the child's first statement has run."""
    read_fd, write_fd = os.pipe()
    started = time.perf_counter_ns()
    pid = os.fork()
    if pid == 0:
        os.write(write_fd, struct.pack("q", time.perf_counter_ns()))
        os._exit(0)
    os.close(write_fd)
    (ready,) = struct.unpack("q", os.read(read_fd, 8))
    os.close(read_fd)
    _, wait_status = os.waitpid(pid, 0)
    status = os.waitstatus_to_exitcode(wait_status)
    return {"ms": (ready - started) / 1e6, "status": status, "output": ""}


def import_guest(folder):
    """Makes this process what a root zygote is: the guest's modules, all that it imports ahead for
    its children, and its filled-up pools. Returns what has to stay alive.
    """
    package = type(sys)("_argyle")
    package.__path__ = [folder]
    sys.modules["_argyle"] = package
    for name in ("boot", "channel", "zygote", "leaf"):
        importlib.import_module(f"_argyle.{name}")
    zygote = sys.modules["_argyle.zygote"]
    for name in zygote.PRELOAD:
        importlib.import_module(name)
    return zygote.fill_pools()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--guest", help="import what a zygote's guest has imported, from here")
    parser.add_argument("--rss-mb", type=float, default=0, help="grow to this resident size")
    options = parser.parse_args()
    plugs = import_guest(options.guest) if options.guest else []
    held_mb = int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    # Touched pages, as those of imported modules are: a fork has to copy their page tables.
    ballast = b"\x01" * int(max(options.rss_mb - held_mb, 0) * 2**20)
    gc.collect()
    gc.freeze()
    print(
        json.dumps({"ready": True, "mb": held_mb + len(ballast) / 2**20, "plugs": len(plugs)}),
        flush=True,
    )
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = fork() if order["op"] == "fork" else spawn(order["argv"])
        except OSError as error:
            answer = {"ms": 0, "status": 127, "output": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
