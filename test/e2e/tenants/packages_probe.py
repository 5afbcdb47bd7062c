"""Actions of a tenant's code on packages, its own and others'.

It runs as a function, as a package that a zygote imports, and in place of pip in an installer.
"""

import ctypes
import errno
import os
import sys

STORE = "/runtime/store"


def said(call, *args):
    """The result of a call, or the name of its error."""
    try:
        return call(*args)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))


def _syscall(number, *args):
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(number, *args)
    return result if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")


def _watch(path):
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(0)
    if fd < 0:
        return errno.errorcode.get(ctypes.get_errno(), "?")
    done = libc.inotify_add_watch(fd, path.encode(), 0x300)
    name = "ok" if done >= 0 else errno.errorcode.get(ctypes.get_errno(), "?")
    os.close(fd)
    return name


def _list_by_descriptor(path):
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
    try:
        os.fchdir(fd)
        return os.listdir(".")
    finally:
        os.close(fd)
        os.chdir("/")


def _append(path):
    with open(path, "ab") as file:
        file.write(b"# changed\n")
    return "ok"


def _done(call, *args):
    call(*args)
    return "ok"


def names(task):
    """The names of packages that it finds. `own`, `other`: specs; `place`: that of `other`."""
    own, other = task["own"], task["other"]
    return {
        "packages": said(os.listdir, "/packages"),
        "own": os.path.exists(f"/packages/{own}/files"),
        "other": os.path.exists(f"/packages/{other}"),
        "other in the store": os.path.exists(f"{STORE}/{other}"),
        "store": said(os.listdir, STORE),
        "store by descriptor": said(_list_by_descriptor, STORE),
        "store from below": said(os.listdir, f"/packages/{own}/.."),
        "above the store": sorted(set(said(os.listdir, f"{STORE}/..")) & {"store", "packages"}),
        "above the packages": other in said(os.listdir, "/packages/.."),
        "own by descriptor": said(_list_by_descriptor, "/packages"),
        "watch the store": said(_watch, STORE),
        "handle": _syscall(303, -100, STORE.encode(), ctypes.create_string_buffer(64), 0, 0),
        "mounts": said(_list_by_descriptor, "/proc/self"),
        "listmount": _syscall(458, ctypes.create_string_buffer(64), 0, 0, 0),
        "links": sorted(os.readlink(f"/packages/{name}") for name in os.listdir("/packages")),
        "environment": [value for value in os.environ.values() if other in value],
        "memory": _mentions(other),
        "known place": os.path.exists(f"{STORE}/{task['place']}/files"),
        "one digit off": os.path.exists(f"{STORE}/{task['place'][:-1]}g/files"),
    }


def _mentions(spec):
    """Strings in Python's memory that name another tenant's package."""
    import gc

    found = [path for path in sys.path if spec in path]
    found += [path for path in sys.path_importer_cache if spec in path]
    found += [name for name, module in sys.modules.items() if spec in repr(module)]
    for thing in gc.get_objects():
        if type(thing) in (list, tuple, set):
            found += [text for text in list(thing) if type(text) is str and spec in text]
    return [text for text in found if text != spec]


def change(folder):
    """The results of changing the files of an installed package."""
    file = f"{folder}/argyle_sample_tiny/__init__.py"
    return {
        "read": len(open(file, "rb").read()) > 0,
        "write": said(_append, file),
        "make": said(_append, f"{folder}/new.py"),
        "mode": said(_done, os.chmod, file, 0o6777),
        "owner": said(_done, os.chown, file, os.getuid(), os.getgid()),
        "remove": said(_done, os.unlink, file),
        "rename": said(_done, os.rename, file, f"{file}.old"),
        "second name": said(_done, os.link, file, "/tmp/second"),
        "attribute": said(_done, os.setxattr, file, "user.x", b"x"),
        "times": said(_done, os.utime, file, (0, 0)),
        "lease": said(_lease, file),
        "notify": said(_notify, folder),
        "truncate": said(_done, os.truncate, file, 0),
        "remount": _syscall(165, None, b"/packages", None, 0x20 | 0x1000, None),
    }


def _lease(path):
    import fcntl

    with open(path, "rb") as file:
        fcntl.fcntl(file, 1024, fcntl.F_RDLCK)
        fcntl.fcntl(file, 1024, fcntl.F_UNLCK)
    return "ok"


def _notify(path):
    import fcntl

    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.fcntl(fd, 1026, 1)
    finally:
        os.close(fd)
    return "ok"


def f(event):
    """Entry of the function."""
    if event["do"] == "names":
        return names(event)
    return {kind: change(folder) for kind, folder in event["folders"].items()}
