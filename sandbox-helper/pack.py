"""Packs the compiled modules that every guest needs into one file: `pack.py FOLDER`.

FOLDER/guest.pack is the magic number of the Python that runs this, which tells what its code
objects are good for, and marshalled: loader.py's code, and a list of (name, code) of the others in
an order in which each finds what it imports. main.py reads it; with another Python the modules are
found one by one instead.
"""

import importlib.util
import marshal
import sys

MODULES = (
    "environ",
    "clib",
    "channel",
    "fastjson",
    "conn",
    "boot",
    "http1",
    "body",
    "server",
    "entry",
    "function",
    "leaf",
    "forkserver",
    "start",
)


def main(folder):
    """Writes FOLDER/guest.pack from the sources there."""
    modules = [(name, _compile(folder, name)) for name in MODULES]
    with open(f"{folder}/guest.pack", "wb") as file:
        packed = marshal.dumps((_compile(folder, "loader"), modules))
        file.write(importlib.util.MAGIC_NUMBER + packed)


def _compile(folder, name):
    with open(f"{folder}/{name}.py", "rb") as file:
        # The path that a sandbox has it under, for tracebacks.
        return compile(file.read(), f"/runtime/{name}.py", "exec", dont_inherit=True, optimize=2)


if __name__ == "__main__":
    main(sys.argv[1])
