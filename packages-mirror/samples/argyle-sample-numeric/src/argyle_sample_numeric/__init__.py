"""Means and matrices in plain Python, with an import that costs something."""

from argyle_sample_cost import spend

__version__ = "0"  # the builder puts the real one here
import_ms, import_mb = spend("numeric", ms=40, mb=8)


def mean(values):
    """Arithmetic mean of a sequence that is not empty."""
    return sum(values) / len(values)


def matmul(left, right):
    """Product of two matrices given as lists of rows."""
    columns = list(zip(*right))
    return [[sum(a * b for a, b in zip(row, column)) for column in columns] for row in left]
