"""Is imported slowly."""

import time

time.sleep(3)


def f(event):
    """Answers after the import."""
    return "imported"
