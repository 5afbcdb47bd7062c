"""Leaves a process behind that ignores all signals but SIGKILL."""

import os
import signal
import time


def f(event):
    """The child's process id in this sandbox."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        while True:
            time.sleep(3600)
    return {"child": pid}
