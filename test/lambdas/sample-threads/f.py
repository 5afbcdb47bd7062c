"""A package that starts a thread at import: a zygote that has it must not be forked."""

import argyle_sample_threads


def f(event):
    """Whether the thread is alive here, which it is not in a forked child."""
    return {"alive": argyle_sample_threads.thread.is_alive(), "ticks": argyle_sample_threads.ticks}
