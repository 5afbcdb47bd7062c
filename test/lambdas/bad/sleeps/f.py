"""Sleeps beyond its time limit."""

import time


def f(event):
    """Sleeps `{"sec": N}` seconds, a day by default."""
    time.sleep(event.get("sec", 86400))
    return "woke up"
