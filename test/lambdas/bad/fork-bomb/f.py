"""Forks for 2 s from every process. All processes but the first stay."""

import os
import time


def f(event):
    """Number of the first process's children, and number of refused forks."""
    first, started, refused = os.getpid(), 0, 0
    deadline = time.monotonic() + event.get("sec", 2)
    while time.monotonic() < deadline:
        try:
            if os.fork():
                started += 1
        except OSError:
            refused += 1
            time.sleep(0.01)
    if os.getpid() != first:
        time.sleep(86400)
    return {"started": started, "refused": refused}
