"""Reads from address 0."""

import ctypes


def f(event):
    """Killed by a signal."""
    return ctypes.string_at(0)
