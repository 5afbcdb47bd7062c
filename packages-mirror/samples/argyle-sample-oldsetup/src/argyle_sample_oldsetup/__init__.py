"""Built from source where it is installed."""

BUILT = True
