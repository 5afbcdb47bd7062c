"""Counts its calls. The state of a module lives as long as its sandbox."""

import os

calls = 0


def f(event):
    """The number of calls that this sandbox has had, and its process."""
    global calls
    calls += 1
    return {"calls": calls, "pid": os.getpid()}
