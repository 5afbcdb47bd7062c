"""Measures processes for the bench, with less overhead than the bench's own runtime.

Reads one JSON document per line on stdin and answers each with one line on stdout.
`{"op": "spawn", "argv": [...]}` starts a program and waits for its end. With `"cgroups": {PATH:
{FILE: LIMIT}}` it first makes these cgroups, and the program joins them.
`{"op": "fork"}` forks this process. The child reports when it runs, and exits.
`{"op": "http", "port": 1, "path": "/", "body": "{}"}` posts on a persistent connection. The time
ends with the first byte of the answer. The output is the answer's body.
The answer is `{"ms": 1.23, "status": 0, "output": ""}`. A program's output is included only
after a failure.
"""

import argparse
import gc
import http.client
import importlib
import json
import os
import socket
import struct
import sys
import time


# Time limit of a call, s. A first call may install packages.
TIMEOUT_S = 300
# HTTP connections by port.
connections = {}


def spawn(argv, cgroups):
    """Runs a program to its end and captures its output."""
    output_fd = os.memfd_create("output")
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output_fd, 1),
        (os.POSIX_SPAWN_DUP2, output_fd, 2),
    ]
    started = time.perf_counter_ns()
    if cgroups:
        pid = spawn_limited(argv, cgroups, output_fd)
    else:
        pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)
    _, wait_status = os.waitpid(pid, 0)
    ended = time.perf_counter_ns()
    for path in cgroups:
        remove(path)
    status = os.waitstatus_to_exitcode(wait_status)
    output = ""
    if status != 0:
        output = os.pread(output_fd, 2000, 0).decode(errors="replace")
    os.close(output_fd)
    return {"ms": (ended - started) / 1e6, "status": status, "output": output}


def spawn_limited(argv, cgroups, output_fd):
    """Starts a program in its own cgroups. Returns its pid."""
    for path, limits in cgroups.items():
        os.mkdir(path)
        for file, limit in limits.items():
            write(f"{path}/{file}", limit)
    pid = os.fork()
    if pid != 0:
        return pid
    try:
        for path in cgroups:
            # v1's tasks: a process that moves itself need not wait for the lock over all forks.
            file = "tasks" if os.path.exists(f"{path}/tasks") else "cgroup.procs"
            write(f"{path}/{file}", "0")
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(output_fd, 1)
        os.dup2(output_fd, 2)
        os.execv(argv[0], argv)
    finally:
        os._exit(127)


def remove(path):
    """Removes a cgroup. Retries, since child processes of the program may still be ending."""
    for _ in range(100):
        try:
            return os.rmdir(path)
        except OSError:
            time.sleep(0.01)
    os.rmdir(path)


def write(path, text):
    file_fd = os.open(path, os.O_WRONLY)
    os.write(file_fd, text.encode())
    os.close(file_fd)


def post(port, path, body):
    """Posts JSON on the persistent connection to this port."""
    data = body.encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data
    if port not in connections:
        connections[port] = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        connections[port].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = connections[port]
    started = time.perf_counter_ns()
    connection.sendall(request)
    first = connection.recv(1, socket.MSG_PEEK)
    ended = time.perf_counter_ns()
    if not first:
        connections.pop(port).close()
        raise ConnectionError("closed without an answer")
    response = http.client.HTTPResponse(connection, method="POST")
    response.begin()
    text = response.read().decode(errors="replace")
    status = 0 if response.status == 200 else response.status
    return {"ms": (ended - started) / 1e6, "status": status, "output": text}


def fork():
    """Forks. The time ends when the child's first statement has run."""
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
    """Turns this process into a root zygote: imports the guest's modules and the modules that it
    preloads for its children, runs its warm-up, and fills its pools. Returns objects that must
    stay alive.
    """
    package = type(sys)("_argyle")
    package.__path__ = [folder]
    sys.modules["_argyle"] = package
    for name in ("boot", "channel", "fork.zygote", "apps.leaf"):
        importlib.import_module(f"_argyle.{name}")
    zygote = sys.modules["_argyle.fork.zygote"]
    for name in zygote.PRELOAD:
        importlib.import_module(name)
    zygote.warm_up()
    return zygote.fill_pools()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--guest", help="import what a zygote's guest has imported, from here")
    parser.add_argument("--rss-mb", type=float, default=0, help="grow to this resident size")
    options = parser.parse_args()
    plugs = import_guest(options.guest) if options.guest else []
    held_mb = int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    # The pages are touched, as those of imported modules are. A fork copies their page tables.
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
            if order["op"] == "fork":
                answer = fork()
            elif order["op"] == "http":
                answer = post(order["port"], order["path"], order["body"])
            else:
                answer = spawn(order["argv"], order.get("cgroups", {}))
        except (OSError, http.client.HTTPException) as error:
            answer = {"ms": 0, "status": 127, "output": str(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
