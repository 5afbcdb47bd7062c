"""Greets. The greeting comes from the environment of ol.yaml."""

import os


def f(event):
    return f"{os.environ['GREETING']}, {event.get('name', 'world')}!"
