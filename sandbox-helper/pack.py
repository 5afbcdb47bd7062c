"""Packs the compiled modules that every guest needs into one file: `pack.py FOLDER`.

FOLDER/guest.pack begins with the magic number of the Python that runs this script, because code
objects fit one Python only. Marshalled data follow: loader.py's code, and a list of (name, code) of
the other modules, each after those that it imports. main.py reads the file. Another Python finds
the modules one by one instead.
"""

import importlib.util
import marshal
import sys

MODULES = (
    "environ",
    "clib",
    "channel",
    "fastjson",
    "http.conn",
    "boot",
    "http.http1",
    "http.body",
    "http.server",
    "apps.entry",
    "apps.function",
    "apps.leaf",
    "flags",
    "fork.forkserver",
    "start",
)


def main(folder):
    """Writes FOLDER/guest.pack from the sources there."""
    modules = [(name, _compile(folder, name)) for name in MODULES]
    with open(f"{folder}/guest.pack", "wb") as file:
        packed = marshal.dumps((_compile(folder, "loader"), modules))
        file.write(importlib.util.MAGIC_NUMBER + packed)


def _compile(folder, name):
    path = f"{name.replace('.', '/')}.py"
    with open(f"{folder}/{path}", "rb") as file:
        # The file's path in a sandbox, for tracebacks.
        return compile(file.read(), f"/runtime/{path}", "exec", dont_inherit=True, optimize=2)


if __name__ == "__main__":
    main(sys.argv[1])
