"""A function whose package takes 300 ms to import and holds 30 MB. A zygote saves both.
"""

import argyle_sample_heavy


def f(event):
    """The cost that its import had."""
    return {"import_ms": argyle_sample_heavy.import_ms, "held_mb": argyle_sample_heavy.held_mb()}
