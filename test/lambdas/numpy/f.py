"""Solves a system of linear equations; each call in a sandbox of its own (ol.yaml)."""

import sys

FROM_ZYGOTE = "numpy" in sys.modules  # imported by a zygote before this function

import numpy  # noqa: E402


def f(event):
    matrix = numpy.array(event.get("matrix", [[3, 1], [1, 2]]), dtype=float)
    right = numpy.array(event.get("right", [9, 8]), dtype=float)
    solution = numpy.linalg.solve(matrix, right)
    return {
        "numpy": numpy.__version__,
        "from_zygote": FROM_ZYGOTE,
        "solution": solution.round(9).tolist(),
    }
