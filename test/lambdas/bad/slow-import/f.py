"""Takes its time to be imported."""

import time

time.sleep(3)


def f(event):
    """Answers in the end."""
    return "imported"
