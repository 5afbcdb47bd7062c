"""Describes a table with a package of the project's own mirror: needs no outside package index."""

import sys

FROM_ZYGOTE = "argyle_sample_frame" in sys.modules  # imported by a zygote before this function

import argyle_sample_frame  # noqa: E402

DEFAULT = {"City": ["Oslo", "Rome", "Oslo"], "Sold": [3, 5, 4]}


def f(event):
    table = argyle_sample_frame.Frame(event.get("columns", DEFAULT))
    return {"from_zygote": FROM_ZYGOTE, "rows": table.group_by(event.get("by", "city"))}
