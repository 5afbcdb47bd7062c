"""Imports a module that does not exist."""

import argyle_no_such_module


def f(event):
    """Never reached."""
    return argyle_no_such_module.answer
