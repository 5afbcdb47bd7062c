"""Probes addresses that were added after the helper's start or that a list or default refuses.

An outcome is "ok", the name of an errno, or "no answer" after a dropped packet.
"""

import errno
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

SECRET = b"loopback service"
PATIENCE_S = 0.5
V4, V6 = socket.AF_INET, socket.AF_INET6
SOL_IPV6_RTHDR = 57


def ask(family, kind, address, connects=True, option=None):
    """One exchange with a service, after setting `option`. Returns the service's answer."""
    with socket.socket(family, kind) as s:
        s.settimeout(PATIENCE_S)
        if option:
            s.setsockopt(*option)
        if connects:
            s.connect(address)
        if kind == socket.SOCK_DGRAM:
            s.send(b"?") if connects else s.sendto(b"?", address)
        return s.recv(100)


def ask_fast(address):
    """Connects by TCP Fast Open, which needs no connect()."""
    with socket.socket(V4, socket.SOCK_STREAM) as s:
        s.settimeout(PATIENCE_S)
        try:
            s.sendto(b"?", socket.MSG_FASTOPEN, address)
        except BlockingIOError:
            pass  # the answer to SYN has not arrived yet
        return s.recv(100)


def ask_by_message(address):
    """Sends by sendmsg() with the device for the packet."""
    with socket.socket(V4, socket.SOCK_DGRAM) as s:
        s.settimeout(PATIENCE_S)
        info = struct.pack("=I4s4s", 1, bytes(4), bytes(4))
        s.sendmsg([b"?"], [(socket.IPPROTO_IP, 8, info)], 0, address)
        return s.recv(100)


def send(family, address, option):
    """Only sends: on the way that the option selects, no service answers."""
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.setsockopt(*option)
        s.sendto(b"?", address)
        return SECRET


def probes(place):
    """Name and action of each probe."""
    tcp, udp = socket.SOCK_STREAM, socket.SOCK_DGRAM
    for name, family, address in place["targets"]:
        address = tuple(address)
        yield f"TCP to {name}", lambda f=family, a=address: ask(f, tcp, a)
        yield f"UDP to {name}", lambda f=family, a=address: ask(f, udp, a, False)
        yield f"UDP connected to {name}", lambda f=family, a=address: ask(f, udp, a)
    later, peer = (place["later"], place["port"]), (place["peer4"], place["peer_port"])
    to_device = (socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    record = b"\x07\x07\x04" + bytes(5)
    second_kind = struct.pack("=BBBBI", 0, 2, 4, 0, 0) + socket.inet_pton(V6, "::1")
    yield "fast open", lambda: ask_fast(later)
    yield "sendmsg by device", lambda: ask_by_message(later)
    yield "UDP bound to the device", lambda: ask(V4, udp, later, True, to_device)
    yield "record route", lambda: send(V4, peer, (socket.IPPROTO_IP, socket.IP_OPTIONS, record))
    yield "routing header", lambda: send(
        V6,
        (place["peer6"], place["peer_port"]),
        (socket.IPPROTO_IPV6, SOL_IPV6_RTHDR, second_kind),
    )


def outcome(action):
    try:
        return "ok" if action() == SECRET else "a wrong answer"
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def run(place):
    """All outcomes by name. The probes run in parallel, because a drop costs a time-out."""
    named = list(probes(place))
    with ThreadPoolExecutor(12) as pool:
        return dict(zip([name for name, _ in named], pool.map(outcome, [act for _, act in named])))


def f(event):
    return run(event)
