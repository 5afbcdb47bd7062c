"""Its package cannot be installed."""


def f(event):
    """Never reached."""
    return event
