"""Its requirements name a package that no index has."""


def f(event):
    """Never reached."""
    return event
