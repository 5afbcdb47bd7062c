"""The smallest function with a package."""

import argyle_sample_tiny


def f(event):
    """The version that was installed for this function."""
    return {"tiny": argyle_sample_tiny.__version__}
