"""Raises SystemExit in the middle of a request."""

import sys


def f(event):
    """Not an ordinary exception."""
    sys.exit(4)
