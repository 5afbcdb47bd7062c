"""Probes everything that a network setting decides. An outcome is "ok" or the name of an errno."""

import ctypes
import errno
import os
import socket
import struct

SECRET = b"loopback service"
PATIENCE_S = 5
LIBC = ctypes.CDLL(None, use_errno=True)


def tcp(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(PATIENCE_S)
        s.connect(address)
        return s.recv(100)


def udp(family, address, connect):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(PATIENCE_S)
        if connect:
            s.connect(address)
            s.send(b"?")
        else:
            s.sendto(b"?", address)
        return s.recv(100)


def addresses(place):
    """Name, family and address of each service: those of the host, then those of the peer."""
    v4, v6 = socket.AF_INET, socket.AF_INET6
    here, there = place["port"], place["peer_port"]
    return [
        ("loopback", v4, ("127.0.0.1", here)),
        ("loopback, another", v4, ("127.77.0.1", here)),
        ("unspecified", v4, ("0.0.0.0", here)),
        ("host", v4, (place["host4"], here)),
        ("loopback6", v6, ("::1", here)),
        ("unspecified6", v6, ("::", here)),
        ("host6", v6, (place["host6"], here)),
        ("host6 link-local", v6, (place["link_local"], here, 0, place["device"])),
        ("loopback as IPv6", v6, ("::ffff:127.0.0.1", here)),
        ("host as IPv6", v6, (f"::ffff:{place['host4']}", here)),
        ("peer", v4, (place["peer4"], there)),
        ("peer6", v6, (place["peer6"], there)),
        ("peer as IPv6", v6, (f"::ffff:{place['peer4']}", there)),
    ]


def raw_udp(family, target, place, connects=False):
    """Sends UDP to 127.0.0.1 with an address of another family, `target`, than the socket's."""
    address = struct.pack("=H", target) + struct.pack("!H", place["port"])
    address = (address + socket.inet_aton("127.0.0.1")).ljust(28, b"\0")
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(PATIENCE_S)
        if connects:
            result = LIBC.connect(s.fileno(), address, 28) or LIBC.send(s.fileno(), b"?", 1, 0)
        else:
            result = LIBC.sendto(s.fileno(), b"?", 1, 0, address, 28)
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return s.recv(100) == SECRET


def send_to_group6(place):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.sendto(b"?", ("ff02::1", place["port"], 0, place["device"]))


def send_to_many(address, option, value):
    """Multicast and broadcast. No host answers; a successful send is enough."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(*option, value)
        s.sendto(b"?", address)


def bind(kind, address, listens=False):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(address)
        if listens:
            s.listen()


def abstract_datagram(place, connects):
    ours, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = "\0" + place["abstract_datagram"]
    if connects:
        ours.connect(name)
        ours.send(b"?")
    else:
        ours.sendto(b"?", name)


def take_abstract_name(place):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.bind(f"\0argyle-taken-{os.getpid()}-{place['port']}")
        s.listen()


def pair(kind):
    a, b = socket.socketpair(socket.AF_UNIX, kind)
    a.send(b"?")
    b.recv(1)


def probes(place):
    """Name and action of each probe."""
    for name, family, address in addresses(place):
        yield f"TCP to {name}", lambda f=family, a=address: tcp(f, a) == SECRET
        yield f"UDP to {name}", lambda f=family, a=address: udp(f, a, False) == SECRET
        if name == "loopback, another":  # the answer comes from 127.0.0.1, not from the peer
            continue
        yield f"UDP connected to {name}", lambda f=family, a=address: udp(f, a, True) == SECRET
    group = (socket.IPPROTO_IP, socket.IP_MULTICAST_IF)
    device = socket.inet_aton(place["host4"])
    all_hosts = ("224.0.0.1", place["port"])
    everybody = (socket.SOL_SOCKET, socket.SO_BROADCAST)
    v4, v6 = socket.AF_INET, socket.AF_INET6
    yield "UDP by no family", lambda: raw_udp(v4, 0, place)
    yield "UDP by IPv4 on IPv6", lambda: raw_udp(v6, v4, place)
    yield "UDP connected by IPv4 on IPv6", lambda: raw_udp(v6, v4, place, True)
    yield "UDP to anycast6", lambda: udp(v6, (place["anycast"], place["port"]), False) == SECRET
    yield "multicast6", lambda: send_to_group6(place)
    yield "multicast", lambda: send_to_many(all_hosts, group, device)
    yield "broadcast", lambda: send_to_many((place["broadcast"], place["port"]), everybody, 1)
    yield "bind to any port", lambda: bind(socket.SOCK_DGRAM, ("0.0.0.0", 0))
    yield "bind to a chosen port", lambda: bind(socket.SOCK_DGRAM, ("0.0.0.0", place["free_port"]))
    yield "listen", lambda: bind(socket.SOCK_STREAM, ("127.0.0.1", 0), True)
    yield "abstract socket", lambda: tcp(socket.AF_UNIX, "\0" + place["abstract"]) == SECRET
    yield "abstract datagram", lambda: abstract_datagram(place, False)
    yield "abstract datagram, connected", lambda: abstract_datagram(place, True)
    yield "abstract name", lambda: take_abstract_name(place)
    yield "netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 0).close()
    yield "raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()
    yield "packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0).close()
    yield "stream pair", lambda: pair(socket.SOCK_STREAM)
    yield "seqpacket pair", lambda: pair(socket.SOCK_SEQPACKET)
    yield "datagram pair", lambda: pair(socket.SOCK_DGRAM)


def outcome(action):
    try:
        return "a wrong answer" if action() is False else "ok"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))


def run(place):
    """All outcomes by name."""
    return {name: outcome(action) for name, action in probes(place)}


def f(event):
    return run(event)
