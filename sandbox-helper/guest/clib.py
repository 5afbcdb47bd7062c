"""Loads /runtime/libguest.so: functions that Python lacks, or has only in a slower form."""

import _frozen_importlib
import _frozen_importlib_external
import _imp

PATH = f"{__file__.rpartition('/')[0]}/libguest.so"

_library = None


def load():
    """The module of libguest.so. Raises ImportError where it cannot be loaded."""
    global _library
    if _library is None:
        loader = _frozen_importlib_external.ExtensionFileLoader("libguest", PATH)
        spec = _frozen_importlib.ModuleSpec("libguest", loader, origin=PATH)
        _library = _imp.create_dynamic(spec)
    return _library
