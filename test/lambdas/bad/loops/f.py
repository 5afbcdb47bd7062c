"""Computes forever."""


def f(event):
    """Only a time limit ends it."""
    while True:
        pass
