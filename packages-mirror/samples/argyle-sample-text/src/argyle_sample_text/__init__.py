"""Word counts; slugs are in argyle_sample_slug."""

import collections
import re

import argyle_sample_tiny
from argyle_sample_slug import slug

__all__ = ["slug", "tiny_version", "words"]

tiny_version = argyle_sample_tiny.__version__


def words(text):
    """How often each word stands in `text`, most frequent first."""
    counts = collections.Counter(re.findall(r"\w+", text.lower()))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
