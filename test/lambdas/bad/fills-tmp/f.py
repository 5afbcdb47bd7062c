"""Writes to /tmp until it is full."""


def f(event):
    """The number of written bytes, and the error at the end."""
    written, block = 0, b"x" * (1 << 20)
    with open("/tmp/full", "wb", buffering=0) as file:
        try:
            while written < event.get("bytes", 1 << 40):
                written += file.write(block)
        except OSError as error:
            return {"written": written, "errno": error.errno}
    return {"written": written, "errno": 0}
