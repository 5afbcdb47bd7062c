"""The offline twin of numpy."""

import argyle_sample_numeric as numeric


def f(event):
    """`{"a": [[…]], "b": [[…]]}` gives the product of two matrices."""
    a, b = event.get("a", [[2, 1], [1, 3]]), event.get("b", [[1, 0], [0, 1]])
    return {"product": numeric.matmul(a, b), "numeric": numeric.__version__}
