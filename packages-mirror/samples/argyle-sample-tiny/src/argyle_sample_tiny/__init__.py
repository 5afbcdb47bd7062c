"""As small as a package can be: it knows its version."""

__version__ = "0"  # the builder puts the real one here
