"""Reads the boot frame: `ARGYLE-BOOT/1 <length>\\n` and then that many bytes of JSON."""

from _argyle import channel, fastjson
from _argyle.http.conn import Connection

MAGIC = b"ARGYLE-BOOT/1 "
# Longest first line: the magic and a length of at most ten digits.
MAX_LINE = len(MAGIC) + 11
MAX_DOCUMENT_BYTES = 16 << 20


class BootError(Exception):
    """The frame or the document is not what docs/guest-protocol.md says."""


def receive(role):
    """Accepts until a connection carries a whole boot frame for `role`.

    Returns (connection, document). Bytes after the frame stay in the connection's buffer. A
    connection that ends too early is dropped, because its writer gave up. Raises BootError when
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
            if MAGIC.startswith(buf[: len(MAGIC)]) and len(buf) < MAX_LINE:
                return None
            raise _bad_frame(buf)
    line = bytes(buf[:end])
    digits = line[len(MAGIC) :]
    if not line.startswith(MAGIC) or not digits.isdigit():
        raise _bad_frame(buf)
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


def _bad_frame(buf):
    return BootError(f"frame: expected {MAGIC!r} and a length, got {bytes(buf[:MAX_LINE])!r}")
