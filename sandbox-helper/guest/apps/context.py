"""The second argument of `f(event, context)`: facts about the call."""

import posix
import time


class Context:
    """`headers` holds the request's headers. Names are in lower case. `, ` joins the values of a
    name.
    """

    def __init__(self, request, name, memory_limit_mb, deadline_ns):
        self.function_name = name
        self.memory_limit_mb = memory_limit_mb
        self.headers = _join(request.headers)
        self.request_id = self.headers.get("x-request-id") or posix.urandom(16).hex()
        self._deadline_ns = deadline_ns

    def remaining_ms(self):
        """Milliseconds until limits.runtime_sec ends the call, at least 0; None without a limit."""
        if self._deadline_ns is None:
            return None
        return max(0, (self._deadline_ns - time.perf_counter_ns()) // 1_000_000)


def maker(document):
    """Returns make(request, began_ns), which gives the Context of one call."""
    name = document.get("name", "")
    limits = document.get("limits", {})
    # 0 is no limit, as everywhere
    memory_mb = limits.get("mem_mb") or None
    runtime_ns = int(limits.get("runtime_sec", 0) * 1_000_000_000)

    def make(request, began_ns):
        deadline_ns = began_ns + runtime_ns if runtime_ns else None
        return Context(request, name, memory_mb, deadline_ns)

    return make


def _join(pairs):
    headers = {}
    for key, value in pairs:
        key, value = key.decode("ascii"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers
