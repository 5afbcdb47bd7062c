"""Allocates memory without end."""


def f(event):
    """Writes to each block, so that the memory is charged."""
    blocks = []
    while True:
        blocks.append(bytearray(b"\1") * (4 << 20))
