"""Its package can be installed and cannot be imported."""

import argyle_sample_broken


def f(event):
    """Never reached."""
    return dir(argyle_sample_broken)
