"""Starts a thread when it is imported, as some drivers and telemetry libraries do."""

import threading

ticks = 0
_stop = threading.Event()


def _tick():
    global ticks
    while not _stop.wait(0.05):
        ticks += 1


thread = threading.Thread(target=_tick, name="argyle-sample", daemon=True)
thread.start()
