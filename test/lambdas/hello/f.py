"""Greets; the greeting comes from the environment that ol.yaml sets."""

import os


def f(event):
    return f"{os.environ['GREETING']}, {event.get('name', 'world')}!"
