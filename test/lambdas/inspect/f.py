"""Reports the start of its process: the modules that were imported before, and the
duration of its import.
"""

import os
import sys
import time

BEFORE = set(sys.modules)
START = time.monotonic()

import argyle_sample_frame  # noqa: E402

IMPORT_MS = (time.monotonic() - START) * 1000


def f(event):
    """`preimported` holds for a child of a zygote that had the package."""
    return {
        "preimported": "argyle_sample_frame" in BEFORE,
        "import_ms": IMPORT_MS,
        "pid": os.getpid(),
        "path": argyle_sample_frame.__file__,
    }
