"""Its ol.yaml holds a comment only."""


def f(event):
    """Never reached."""
    return event
