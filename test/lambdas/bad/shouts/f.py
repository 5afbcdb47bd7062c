"""Writes much to its log."""

import sys


def f(event):
    """`{"lines": N}` lines on each stream."""
    lines = event.get("lines", 20000)
    for number in range(lines):
        print("out", number, "x" * 100)
        print("err", number, "x" * 100, file=sys.stderr)
    return {"lines": lines}
