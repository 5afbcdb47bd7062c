"""Answers with much data."""


def f(event):
    """`{"mb": N}` megabytes of text, 8 unless told otherwise."""
    return "x" * (event.get("mb", 8) << 20)
