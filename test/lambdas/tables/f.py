"""Describes a table with a package of the project's own mirror: needs no outside package index."""

import argyle_sample_frame

DEFAULT = {"City": ["Oslo", "Rome", "Oslo"], "Sold": [3, 5, 4]}


def f(event):
    table = argyle_sample_frame.Frame(event.get("columns", DEFAULT))
    return table.group_by(event.get("by", "city"))
