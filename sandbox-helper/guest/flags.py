"""Keeps the guest's own options of the interpreter from the Python programs that handlers start.

Guests run with -I, so that their environment does not change how they start. Libraries that start
a Python like their parent (multiprocessing, joblib, subprocess._args_from_interpreter_flags) read
the options from sys.flags. With -I a child would ignore PYTHONPATH, by which it finds the handler's
modules. -S stays: the guest has no site-packages, and such a child needs none.
"""

import sys


class Flags(tuple):
    """sys.flags of an interpreter without -I."""

    isolated = ignore_environment = no_user_site = 0
    safe_path = False

    def __getattr__(self, name):
        return getattr(_FLAGS, name)

    def __repr__(self):
        return repr(_FLAGS)


_FLAGS = sys.flags


def install():
    """Replaces sys.flags."""
    sys.flags = Flags(_FLAGS)
