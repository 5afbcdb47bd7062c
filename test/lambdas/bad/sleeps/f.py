"""Waits longer than it may."""

import time


def f(event):
    """`{"sec": N}` is how long; a day unless told otherwise."""
    time.sleep(event.get("sec", 86400))
    return "woke up"
