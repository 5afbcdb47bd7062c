"""Returns what JSON cannot say."""


def f(event):
    """A set."""
    return {1, 2}
