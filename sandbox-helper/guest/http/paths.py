"""Splits raw request paths (mount point `/run/<name>` and the rest) and Host headers."""


def split(path, name):
    """Splits a raw path (bytes). Returns (mount point as str, decoded rest as bytes).

    `/run/<name>/rest` gives (`/run/<name>`, b"/rest"). `/run/<name>` gives the rest b"/", because
    frameworks redirect a request with an empty path. The name may be escaped in the path. A path
    that is not below /run has no mount point.
    """
    parts = path.split(b"/", 3)
    if len(parts) < 3 or parts[1] != b"run" or unquote(parts[2]) != name.encode("utf-8"):
        return "", unquote(path)
    return f"/run/{name}", unquote(b"/" + b"".join(parts[3:]))


def authority(host):
    """Splits a Host header (bytes, or None) into (name, port or "").

    The name of an IPv6 address keeps its brackets; without a Host the name is localhost.
    """
    text = (host or b"").decode("latin-1")
    name, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or len(port) > 5:
        name, port = text.rstrip(":"), ""
    return name or "localhost", port


def unquote(data):
    """Decodes percent escapes; malformed ones stay. urllib.parse would cost 8 ms to import."""
    if b"%" not in data:
        return data
    first, *rest = data.split(b"%")
    out = [first]
    for item in rest:
        try:
            # int() alone would also take a sign or an underscore
            if len(item) < 2 or not item[:2].isalnum():
                raise ValueError
            out.append(bytes((int(item[:2], 16),)) + item[2:])
        except ValueError:
            out.append(b"%" + item)
    return b"".join(out)
