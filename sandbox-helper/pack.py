"""Packs the compiled modules that every guest needs into one file: `pack.py FOLDER`.

FOLDER/guest.pack is the magic number of the Python that runs this, which tells what its code
objects are good for, and the marshalled list of (name, code) in an order in which each finds what
it imports. main.py reads it; with another Python it finds the modules one by one instead.
"""

import importlib.util
import marshal
import sys

MODULES = (
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
    "start",
)


def main(folder):
    """Writes FOLDER/guest.pack from the sources there."""
    packed = []
    for name in MODULES:
        with open(f"{folder}/{name}.py", "rb") as file:
            # The path that a sandbox has it under, for tracebacks.
            code = compile(
                file.read(), f"/runtime/{name}.py", "exec", dont_inherit=True, optimize=2
            )
        packed.append((name, code))
    with open(f"{folder}/guest.pack", "wb") as file:
        file.write(importlib.util.MAGIC_NUMBER + marshal.dumps(packed))


if __name__ == "__main__":
    main(sys.argv[1])
