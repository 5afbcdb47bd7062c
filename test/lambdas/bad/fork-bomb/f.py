"""Forks for two seconds, from every process that it gets; all but the first then stay."""

import os
import time


def f(event):
    """How many children the first process was allowed, and how often it was refused."""
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
