"""Counts its calls; a fresh sandbox for each keeps the count at one."""

calls = 0


def f(event):
    """The number of calls that this sandbox has had."""
    global calls
    calls += 1
    return {"calls": calls}
