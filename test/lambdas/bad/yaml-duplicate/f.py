"""Its ol.yaml has the same key twice."""


def f(event):
    """Never reached."""
    return event
