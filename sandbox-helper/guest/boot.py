"""Reads the boot frame: `ARGYLE-BOOT/1 <length>\\n` and then that many bytes of JSON."""

from _argyle import channel, fastjson
from _argyle.conn import Connection

MAGIC = b"ARGYLE-BOOT/1 "
# Longest first line: the magic and a length of at most ten digits.
MAX_LINE = len(MAGIC) + 11
MAX_DOCUMENT_BYTES = 16 << 20


class BootError(Exception):
    """The frame or the document is not what docs/guest-protocol.md says."""


def receive(role):
    """Accepts until a connection carries a whole boot frame for `role`.

    Returns (connection, document); what came behind the frame stays in the connection's buffer.
    A connection that ends too early is dropped, since its writer gave up. Raises BootError when
    the bytes are no boot frame.
    """
    while True:
        conn = Connection(channel.accept())
        document = _read_document(conn)
        if document is not None:
            break
        conn.close()
    if document.get("role") != role:
        raise BootError(f"role: the boot document says {document.get('role')!r}, not {role!r}")
    return conn, document


def _read_document(conn):
    buf = conn.buf
    while (end := buf.find(b"\n", 0, MAX_LINE)) < 0:
        if len(buf) >= MAX_LINE or not conn.fill():
            return _reject(buf)
    line = bytes(buf[:end])
    digits = line[len(MAGIC) :]
    if not line.startswith(MAGIC) or not digits.isdigit():
        return _reject(buf)
    size = int(digits)
    if size > MAX_DOCUMENT_BYTES:
        raise BootError(f"length: {size} is more than {MAX_DOCUMENT_BYTES} bytes")
    del buf[: end + 1]
    while len(buf) < size:
        if not conn.fill():
            return None
    text = bytes(buf[:size])
    del buf[:size]
    try:
        document = fastjson.loads(text)
    except ValueError as error:
        raise BootError(f"document: {error}") from None
    if not isinstance(document, dict):
        raise BootError(f"document: expected an object, got {type(document).__name__}")
    return document


def _reject(buf):
    """A frame cut short is None, for the caller to try again; other bytes are an error."""
    seen = bytes(buf[:MAX_LINE])
    if len(seen) < MAX_LINE and MAGIC.startswith(seen[: len(MAGIC)]):
        return None
    raise BootError(f"frame: expected {MAGIC!r} and a length, got {seen!r}")
