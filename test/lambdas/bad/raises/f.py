"""Raises when it is called."""


def f(event):
    """A traceback for the caller."""
    raise ValueError("bad event: {}".format(event))
