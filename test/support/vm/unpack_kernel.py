#!/usr/bin/python3
"""Unpacks the ELF kernel from a bzImage. An emulated guest then boots without unpacking it.

The offsets are from the x86 boot protocol: setup_sects at 0x1f1, payload_offset and
payload_length at 0x248.
"""

import gzip
import lzma
import struct
import sys

SETUP_SECTS = 0x1F1
PAYLOAD_FIELDS = 0x248
SECTOR_BYTES = 512
OPENERS = ((b"\xfd7zXZ", lzma.decompress), (b"\x1f\x8b", gzip.decompress))


def unpack(image: bytes) -> bytes:
    """Returns the ELF file in a bzImage. Raises ValueError for an unknown compression."""
    # The boot protocol defines 0 as 4.
    setup_sects = image[SETUP_SECTS] or 4
    offset, length = struct.unpack_from("<II", image, PAYLOAD_FIELDS)
    start = (setup_sects + 1) * SECTOR_BYTES + offset
    payload = image[start : start + length]
    for magic, opener in OPENERS:
        if payload.startswith(magic):
            if opener is lzma.decompress:
                # The last four bytes are the unpacked size and not part of the stream.
                return lzma.LZMADecompressor().decompress(payload)
            return opener(payload)
    raise ValueError(f"kernel payload starts with {payload[:6].hex()}: neither xz nor gzip")


def main() -> None:
    source, target = sys.argv[1:]
    with open(source, "rb") as packed, open(target, "wb") as unpacked:
        unpacked.write(unpack(packed.read()))


if __name__ == "__main__":
    main()
