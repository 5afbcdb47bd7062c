"""The smallest package: only a version."""

__version__ = "0"  # the builder puts the real one here
