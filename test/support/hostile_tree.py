"""Makes trees that no package should have, and judges their published copies.

`hostile_tree.py make ROOT` reads a JSON list of {"path": hex, "kind", "mode", "data": hex}.
Entries that the process may not make are left out. The tree gets hard links to the file `victim`
beside ROOT. `hostile_tree.py judge ROOT COPY UID` prints a JSON list of the faults of COPY. In a
sandbox, `make()` is called as a function.
"""

import json
import os
import socket
import stat
import sys


def make(root, entries):
    """Makes all entries that can be made. The order matters, since entries may be nested."""
    root = os.path.realpath(os.fsencode(root))
    late = []
    for entry in entries:
        path = root + b"/" + bytes.fromhex(entry["path"])
        try:
            _make_parents(root, path)
            if entry["kind"] == "victim":
                os.link(root + b"/../victim", path)
            else:
                KINDS[entry["kind"]](path, bytes.fromhex(entry["data"]))
        except OSError:
            continue
        if entry["kind"] != "link":
            late.append((path, entry["mode"]))
    # Deepest first: an unsearchable directory comes after its contents.
    for path, mode in reversed(late):
        try:
            if not os.path.islink(path):
                os.chmod(path, mode)
        except OSError:
            pass


def _make_parents(root, path):
    """Follows no link of the tree, since a link may lead out of it."""
    parts = os.path.relpath(path, root).split(b"/")[:-1]
    for count in range(1, len(parts) + 1):
        folder = os.path.join(root, *parts[:count])
        if not os.path.lexists(folder):
            os.mkdir(folder)
        elif not stat.S_ISDIR(os.lstat(folder).st_mode):
            raise NotADirectoryError(folder)


def _file(path, data):
    with open(path, "xb") as file:
        file.write(data)


def _extended(path, data):
    _file(path, data)
    os.setxattr(path, "user.argyle", data or b"x")


def _sparse(path, data):
    _file(path, data)
    os.truncate(path, 300_000)


def _socket(path, _data):
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        place = b"/proc/self/fd/%d/" % folder + os.path.basename(path)
        socket.socket(socket.AF_UNIX).bind(os.fsdecode(place))
    finally:
        os.close(folder)


def _twice(path, data):
    _file(path, data)
    os.link(path, path + b"+")


def _device(kind, major, minor):
    return lambda path, _data: os.mknod(path, kind | 0o666, os.makedev(major, minor))


KINDS = {
    "file": _file,
    "extended": _extended,
    "sparse": _sparse,
    "socket": _socket,
    "twice": _twice,
    "folder": lambda path, _data: os.mkdir(path),
    "link": lambda path, data: os.symlink(data, path),
    "fifo": lambda path, _data: os.mkfifo(path),
    "memory": _device(stat.S_IFCHR, 1, 1),
    "disk": _device(stat.S_IFBLK, 7, 0),
}


def _walk(root):
    for name in sorted(os.listdir(root)):
        path = root + b"/" + name
        yield path
        if stat.S_ISDIR(os.lstat(path).st_mode):
            yield from _walk(path)


def judge(root, copy, uid):
    """Prints entries that COPY must not have, and entries of ROOT that COPY lacks."""
    root, copy = os.fsencode(root), os.path.realpath(os.fsencode(copy))
    wrong = []
    for path in [copy, *_walk(copy)]:
        status = os.lstat(path)
        kind = stat.S_IFMT(status.st_mode)
        if status.st_uid != uid:
            wrong.append(f"{path!r} belongs to {status.st_uid}")
        if kind == stat.S_IFLNK:
            place = os.path.realpath(path)
            if place != copy and not place.startswith(copy + b"/"):
                wrong.append(f"{path!r} leads to {place!r}")
            continue
        if kind not in (stat.S_IFDIR, stat.S_IFREG):
            wrong.append(f"{path!r} is neither file nor directory")
        if stat.S_IMODE(status.st_mode) not in (0o755, 0o644):
            wrong.append(f"{path!r} has mode {status.st_mode:o}")
        if kind == stat.S_IFREG and status.st_nlink != 1:
            wrong.append(f"{path!r} has {status.st_nlink} names")
        if os.listxattr(path, follow_symlinks=False):
            wrong.append(f"{path!r} has extended attributes")
    for path in _walk(root):
        status, twin = os.lstat(path), copy + path[len(root) :]
        if stat.S_ISDIR(status.st_mode) and not os.path.isdir(twin):
            wrong.append(f"{path!r} is missing")
        if stat.S_ISREG(status.st_mode) and _read(path) != _read(twin):
            wrong.append(f"{path!r} differs")
        if stat.S_ISREG(status.st_mode) and int(status.st_mtime) != int(os.stat(twin).st_mtime):
            wrong.append(f"{path!r} is of another time")
    return wrong


def _read(path):
    with open(path, "rb") as file:
        return file.read()


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], json.load(sys.stdin))
    else:
        print(json.dumps(judge(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
