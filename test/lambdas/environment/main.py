"""Another entry file, and variables from ol.yaml."""

import os


def f(event):
    """The value of each variable that the event lists."""
    return {name: os.environ.get(name) for name in event}
