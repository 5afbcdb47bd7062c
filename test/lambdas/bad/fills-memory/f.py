"""Takes memory without end."""


def f(event):
    """Blocks that are written to, so that they count."""
    blocks = []
    while True:
        blocks.append(bytearray(b"\1") * (4 << 20))
