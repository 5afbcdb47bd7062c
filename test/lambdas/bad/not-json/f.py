"""Returns a value that JSON cannot represent."""


def f(event):
    """A set."""
    return {1, 2}
