"""Its ol.yaml is not YAML."""


def f(event):
    """Never reached."""
    return event
