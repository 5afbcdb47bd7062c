"""The offline twin of pandas: groups sales with packages of the project's own index."""

from argyle_sample_frame import Frame

SALES = {"shop": ["north", "south", "north"], "amount": [3, 5, 4]}


def f(event):
    """`{"columns": {…}, "by": COLUMN}` gives means of the other columns by that one."""
    frame = Frame(event.get("columns", SALES))
    return {"means": frame.group_by(event.get("by", "shop"))}
