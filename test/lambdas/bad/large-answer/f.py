"""Answers with much data."""


def f(event):
    """`{"mb": N}` megabytes of text, 8 by default."""
    return "x" * (event.get("mb", 8) << 20)
