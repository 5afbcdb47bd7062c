"""A second top-level module of the same distribution."""

import re


def slug(text):
    """Lower case words joined by hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
