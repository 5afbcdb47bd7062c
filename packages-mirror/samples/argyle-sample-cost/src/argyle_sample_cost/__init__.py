"""A known import cost: busy milliseconds of this thread and megabytes that stay in use."""

import os
import time

_held = {}


def spend(name, ms, mb):
    """Computes for `ms` milliseconds and holds `mb` megabytes of touched memory under `name`.

    The variable ARGYLE_SAMPLE_<NAME>, as `MS:MB`, sets other numbers. Returns the two used.
    """
    setting = os.environ.get("ARGYLE_SAMPLE_" + name.upper())
    if setting:
        ms, mb = (float(part) for part in setting.split(":"))
    end = time.thread_time() + ms / 1000
    _held[name] = bytearray(b"\1") * int(mb * 1024 * 1024)
    while time.thread_time() < end:
        sum(range(200))
    return ms, mb


def held_mb():
    """Megabytes held for all names together."""
    return sum(len(block) for block in _held.values()) / (1024 * 1024)
