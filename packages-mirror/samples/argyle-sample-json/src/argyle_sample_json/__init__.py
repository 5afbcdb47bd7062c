"""JSON in one canonical form, so that equal values have equal text."""

import json


def dumps(value):
    """Sorted keys, no blanks, non-ASCII characters as they are."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def equal(left, right):
    """Whether two values mean the same JSON."""
    return dumps(left) == dumps(right)
