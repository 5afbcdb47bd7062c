"""Heavy without native code: 300 ms and 30 MB, unless ARGYLE_SAMPLE_HEAVY says otherwise."""

from argyle_sample_cost import held_mb, spend

__all__ = ["held_mb", "import_mb", "import_ms"]

import_ms, import_mb = spend("heavy", ms=300, mb=30)
