"""The environment, without importing `os`, which takes 1.6 ms: a seventh of a fresh start.

os.environ is made from posix.environ when `os` is imported, and sees the same variables. Without
os.environ's checks and conversions a fork copies some 20 pages less.
"""

import posix
import sys

_CODING = sys.getfilesystemencoding()


def get(name):
    """The variable's value, or None."""
    value = posix.environ.get(name.encode(_CODING, "surrogateescape"))
    return None if value is None else value.decode(_CODING, "surrogateescape")


def put(name, value):
    """Sets a variable, also for programs that are started. Raises ValueError for a bad name."""
    key, data = name.encode(_CODING, "surrogateescape"), value.encode(_CODING, "surrogateescape")
    posix.putenv(key, data)
    posix.environ[key] = data


def pop(name):
    """Removes a variable. Returns its value, or None."""
    value = get(name)
    if value is not None:
        key = name.encode(_CODING, "surrogateescape")
        posix.unsetenv(key)
        del posix.environ[key]
    return value
