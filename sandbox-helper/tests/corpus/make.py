"""Writes the hand-made seeds of the fuzzers.

`make fuzz` stores new inputs in build/test/found-*. found/ beside the seeds has the
fewest of them with the same coverage (`-set_cover_merge=1`).
"""

import os

HERE = os.path.dirname(os.path.abspath(__file__))
GOOD = (
    b"root /srv/argyle\nsandbox_uids 2000000000 1048576\n" b"caller_gid 991\nguest /usr/lib/guest\n"
)
CONFIG = {
    "good": GOOD,
    "comments": b"# a comment\n\n \t\n" + GOOD + b"cgroup_root a/b\n",
    "spaces": GOOD.replace(b" ", b" \t ").replace(b"\n", b" \r\n"),
    "no-newline": GOOD[:-1],
    "dots": GOOD + b"root /a/../b\n",
    "relative": GOOD + b"root a\n",
    "roots": GOOD + b"root /a\n" * 17,
    "long": GOOD + b"root /" + b"a" * 300,
    "huge-id": GOOD + b"sandbox_uids 18446744073709551616 8192\n",
    "signs": GOOD + b"sandbox_uids -1 +8192\n",
    "zero": GOOD + b"caller_gid 0\n",
    "key-only": b"root\nsandbox_uids\n",
    "slashes": GOOD + b"root ////\n",
}
NAMES = {
    str(number): name
    for number, name in enumerate(
        [
            b"a",
            b"a/b",
            b".",
            b"..",
            b"up",
            b"out",
            b"a/top/etc",
            b"loop",
            b"l/b",
            b"file",
            b"a/../..",
            b"/etc",
            b"a//b",
            b"a/./b",
            b"a/b/../../..",
            b"file/x",
            b"x" * 255,
            b"x" * 256,
            b"\x7f",
            b"a\n",
        ]
    )
}


def request(verb, slot=1, source=0, role=1, flags=0, args=(0, 0, 0), scratch=0, name=1, fds=0):
    return bytes([1, verb, slot, source, role, flags, *args, scratch or 1, name, fds])


SLOTS = request(3, 1) + b"\1" * 2 + request(4, 1, role=2) + b"\1" * 2 + request(3, 2) + b"\1" * 2
FORK = request(5, 2, 1) + b"\1" * 4
REQUEST = {
    "life": SLOTS
    + FORK
    + bytes([2, 1, 0])
    + b"\1" * 6
    + request(7, 2)
    + request(9, 2)
    + request(10, 2),
    "lost": SLOTS + FORK + bytes([3, 1]) + request(10, 1),
    "odd-answer": SLOTS + FORK + bytes([2, 1, 10, 5]) + bytes([2, 1, 1]) + bytes([2, 1, 16, 3]),
    "refused": SLOTS + FORK + bytes([2, 1, 2]) + bytes([2, 1, 6]) + bytes([4]),
    "remove": request(13, args=(1, 0, 0))
    + bytes([5, 1])
    + request(13, args=(2, 0, 0))
    + bytes([5, 3]),
    "hello": b"\x0f" + request(14) + request(1, name=6) + request(2, args=(1, 1, 0)),
    "rules": b"\x0f"
    + request(1, name=6)
    + request(15, args=(0, 1, 1))
    + request(2, args=(1, 1, 0))
    + request(15, args=(0, 1, 1)),
    "raw": bytes([0, 20]) + b"YGRA\1\0\16\0" + b"\0" * 12,
    "spoilt": bytes([30, 8, 0]) + b"YGRA\2\0\1\0" + bytes([30, 4, 19]) + b"\xff" * 4,
    "descriptors": request(3, 1, fds=5) + b"\1" * 2 + request(3, 1, role=2) + request(10, 1),
}

TICK = b"\4"  # also stands for success where the fuzzer asks for a byte


def zygote(slot):
    """A fresh zygote."""
    return request(3, slot) + TICK * 3 + request(4, slot, role=2) + TICK * 12


def fork(slot, source, role=1):
    """A fork and the zygote's answer."""
    ordered = request(3, slot) + TICK * 3 + request(5, slot, source, role) + TICK * 8
    return ordered + bytes([2, source, 0]) + TICK * 16


def destroy(*slots):
    return b"".join(request(10, slot) + TICK * 3 for slot in slots)


FAILS_LATE = request(5, 2, 1, role=2) + TICK * 5 + bytes([3, 0])
REQUEST |= {
    "zygotes": b"".join(zygote(slot) for slot in range(1, 10)) + destroy(1, 5, 9) + zygote(5),
    "nested": zygote(1)
    + fork(2, 1, role=2)
    + fork(3, 2)
    + fork(4, 1)
    + destroy(1, 2)
    + zygote(1)
    + fork(2, 1, role=2)
    + destroy(3, 4),
    "many-leaves": zygote(1)
    + fork(2, 1, role=2)
    + b"".join(fork(slot, 2) for slot in range(3, 10))
    + destroy(*range(3, 10)),
    "changed-role": zygote(1)
    + fork(3, 1)
    + request(3, 2)
    + TICK * 3
    + FAILS_LATE
    + request(5, 2, 1)
    + TICK * 8,
}

for directory, seeds in (("config", CONFIG), ("names", NAMES), ("request", REQUEST)):
    for name, data in seeds.items():
        with open(os.path.join(HERE, directory, name), "wb") as file:
            file.write(data)
