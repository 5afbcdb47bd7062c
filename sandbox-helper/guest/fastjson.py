"""JSON through CPython's C accelerator, without importing `json`.

`json` imports `re`, which takes about 6 ms: nearly as long as starting Python. Results and errors
are those of json.loads and json.dumps. For unusual input this module imports `json` and calls it.
"""

import _json

_SPACE = " \t\n\r"


class _ScannerOptions:
    """The attributes that _json.make_scanner reads, with json.loads' defaults."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = {
        "-Infinity": float("-inf"),
        "Infinity": float("inf"),
        "NaN": float("nan"),
    }.__getitem__
    memo = {}


def _not_serializable(value):
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


try:
    _scan = _json.make_scanner(_ScannerOptions())
except (AttributeError, TypeError):
    _scan = None


def loads(data):
    """Parses UTF-8, UTF-16 or UTF-32 bytes. Raises json.JSONDecodeError or UnicodeDecodeError."""
    if _scan is not None:
        try:
            text = str(data, "utf-8")
            start = len(text) - len(text.lstrip(_SPACE))
            value, end = _scan(text, start)
            if not text[end:].strip(_SPACE):
                return value
        except (StopIteration, UnicodeDecodeError, SystemError):
            pass  # SystemError: the scanner finds no json.JSONDecodeError to raise
    import json

    return json.loads(data)


def dumps(value):
    """Serializes to str, ASCII only. Raises TypeError, ValueError or RecursionError."""
    try:
        encode = _json.make_encoder(
            {},
            _not_serializable,
            _json.encode_basestring_ascii,
            None,
            ": ",
            ", ",
            False,
            False,
            True,
        )
    except (AttributeError, TypeError):
        import json

        return json.dumps(value)
    return "".join(encode(value, 0))
