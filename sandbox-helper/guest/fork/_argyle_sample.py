"""The handler of the warm-up (warm.py): a sample of the syntax that handlers use."""

import sys
import time

LIMITS = {"least": 0, "most": 1 << 16, "names": ("a", "b", "text"), "share": 0.5}


class Seen:
    """Counts values by kind."""

    kinds = frozenset(("str", "int"))

    def __init__(self, name, *, most=LIMITS["most"]):
        self.name = name
        self.counts = {}
        self._most = most

    def show(self, value):
        """Counts one value. Returns how many of its kind there were."""
        kind = type(value).__name__
        self.counts[kind] = count = self.counts.get(kind, 0) + 1
        if count > self._most or (count < 0 and kind not in self.kinds):
            raise ValueError(f"{self.name}: {kind!r} was seen {count} times")
        return count


def each(event):
    """Yields the event's values, one by one."""
    for name, value in sorted(event.items(), key=lambda pair: pair[0]):
        if isinstance(value, (list, tuple)):
            yield from value
        elif value is not None:
            yield value


def f(event):
    """Returns its event, counted."""
    started = time.time()
    seen = Seen("sample")
    try:
        totals = [seen.show(value) for value in each(event)]
    except (TypeError, ValueError) as error:
        return {"error": str(error)}
    finally:
        took = time.time() - started
    return {"event": event, "totals": totals[:8], "s": round(took, 3), "n": len(sys.path)}
