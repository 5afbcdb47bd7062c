"""Its ol.yaml says the same key twice."""


def f(event):
    """Never reached."""
    return event
