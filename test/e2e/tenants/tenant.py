"""A function for the tests of tenants. Victim and attacker both do what their event says."""

import builtins
import ctypes
import json
import mmap
import os
import signal
import socket
import stat
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
PAGE = 4096
KEPT = []


def error_of(action, *arguments):
    """The error of an action, or None."""
    try:
        action(*arguments)
    except OSError as error:
        return error.strerror
    return None


def keep_secret(event):
    """Stores a secret in all places of a tenant: variables, environment, scratch, shared memory."""
    KEPT.append(event["secret"] * 3)
    with open("/tmp/secret", "w") as file:
        file.write(event["secret"])
    with open("/dev/shm/secret", "w") as file:
        file.write(event["secret"])
    place = LIBC.shmget(4242, PAGE, 0o1666)
    LIBC.shmat.restype = ctypes.c_void_p
    ctypes.memmove(LIBC.shmat(place, None, 0), event["secret"].encode(), len(event["secret"]))
    return os.environ.get("TENANT")


def look_for_traces(event):
    """Searches all places that another tenant may have left a secret in."""
    found = []
    for path in ("/tmp/secret", "/dev/shm/secret", "/host/secret"):
        if os.path.exists(path):
            found.append(path)
    if LIBC.shmget(4242, PAGE, 0) >= 0:
        found.append("SysV memory")
    found += [name for name, value in os.environ.items() if event["secret"] in value]
    return found


def scan_memory(event):
    """The needles in this process's memory, within 48 MiB around its objects. A needle is given in
    two halves, so that the search does not find itself."""
    needles = [(one.encode(), two.encode()) for one, two in event["needles"]]
    file = os.memfd_create("scan")
    found, seen = set(), set()
    for anchor in (id(KEPT), id(json), id(builtins), ctypes.addressof(ctypes.c_char())):
        for page in range((anchor >> 12) - 6144, (anchor >> 12) + 6144):
            if page in seen or page <= 0:
                continue
            seen.add(page)
            # The kernel reports EFAULT for an unmapped page. A direct access would be fatal.
            if LIBC.pwrite(file, ctypes.c_void_p(page << 12), PAGE, ctypes.c_long(0)) != PAGE:
                continue
            data = os.pread(file, PAGE, 0)
            found.update(i for i, (one, two) in enumerate(needles) if follows(data, one, two))
    return sorted(found)


def follows(data, one, two):
    at = data.find(one)
    while at >= 0 and not data.startswith(two, at + len(one)):
        at = data.find(one, at + 1)
    return at >= 0


def poison_memory(event):
    """Changes what it shares with its siblings: a package, and the interpreter's own modules."""
    import shared

    shared.VALUE = "poisoned"
    builtins.sorted = lambda _: []
    json.loads = lambda *_, **__: "poisoned"
    sys.path.insert(0, "/tmp")
    os.environ["PYTHONPATH"] = "/tmp"
    return shared.VALUE


def inspect_modules(event):
    """The traces of these changes that a sibling would find."""
    import shared

    return [shared.VALUE, json.loads('"clean"'), sorted("ba"), "/tmp" in sys.path]


def poison_files(event):
    """Changes the compiled files that others will load. Returns an error for each way."""
    told = {}
    for place in event["places"]:
        cache = f"{place}/__pycache__"
        name = sorted(os.listdir(cache))[0]
        path = f"{cache}/{name}"
        told[place] = [
            error_of(os.open, path, os.O_WRONLY),
            error_of(os.open, f"{cache}/new.pyc", os.O_WRONLY | os.O_CREAT),
            error_of(os.rename, path, f"{path}.old"),
            error_of(os.chmod, path, 0o777),
            error_of(os.utime, path),
            error_of(os.truncate, path, 0),
            error_of(map_shared, path),
        ]
    return told


def map_shared(path):
    fd = os.open(path, os.O_RDONLY)
    mmap.mmap(fd, 1, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)


def kill_everybody(event):
    """Signals all processes. Returns the pids that it reached. The result of pid -1 is left out:
    the kernel reports success even when every process refused."""
    error_of(os.kill, -1, signal.SIGKILL)
    return [pid for pid in range(2, 3000) if error_of(os.kill, pid, signal.SIGKILL) is None]


def leave_daemon(event):
    """Starts a process that only SIGKILL ends. It keeps every descriptor of the function.
    Returns its pid."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
                try:
                    signal.signal(number, signal.SIG_IGN)
                except OSError:
                    pass
            os.write(write, str(os.getpid()).encode())
            time.sleep(60)
        os._exit(0)
    return int(os.read(read, 20))


def list_descriptors(event):
    """The kinds of the open descriptors, and the names of their sockets."""
    told = []
    for fd in range(4096):
        try:
            mode = os.fstat(fd).st_mode
        except OSError:
            continue
        kind = stat.filemode(mode)[0]
        if stat.S_ISSOCK(mode):
            with socket.socket(fileno=os.dup(fd)) as end:
                kind += f" {end.type.name} {os.path.basename(end.getsockname() or '')}".rstrip()
        told.append(f"{fd} {kind}")
    return told


def forge_answer(event):
    """Writes a forged answer to every socket that it holds."""
    body = b'"forged"'
    text = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    for fd in range(3, 4096):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                with socket.socket(fileno=os.dup(fd)) as end:
                    end.send(text)
        except OSError:
            continue
    return "genuine"


def f(event):
    return globals()[event["do"]](event)


if __name__ == "__main__":
    print(json.dumps(f(json.loads(sys.argv[1]))), flush=True)
