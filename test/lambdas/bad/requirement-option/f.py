"""Its requirements try to pass an option to pip."""


def f(event):
    """Never reached."""
    return event
