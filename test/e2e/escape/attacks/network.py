"""Attacks on services of the host, by every address and kind of socket."""

import os
import socket
import struct

from . import attack

SECRET = b"loopback service"


def tcp(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        s.connect(address)
        return s.recv(100) == SECRET


def udp(family, address, connect=False):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(2)
        if connect:
            s.connect(address)
            s.send(b"?")
        else:
            s.sendto(b"?", address)
        return s.recv(100) == SECRET


@attack(control="hostnet")
def loopback_tcp(context):
    return tcp(socket.AF_INET, ("127.0.0.1", context["port"]))


@attack(control="hostnet")
def loopback_tcp_other_address(context):
    return tcp(socket.AF_INET, ("127.9.9.9", context["port"]))


@attack(control="hostnet")
def unspecified_tcp(context):
    return tcp(socket.AF_INET, ("0.0.0.0", context["port"]))


@attack(control="hostnet")
def loopback_tcp6(context):
    return tcp(socket.AF_INET6, ("::1", context["port"]))


@attack(control="hostnet")
def unspecified_tcp6(context):
    return tcp(socket.AF_INET6, ("::", context["port"]))


@attack(control="hostnet")
def mapped_tcp6(context):
    return tcp(socket.AF_INET6, ("::ffff:127.0.0.1", context["port"]))


@attack(control="hostnet")
def own_address_tcp(context):
    return tcp(socket.AF_INET, (context["host_address"], context["port"]))


@attack(control="hostnet")
def own_address_mapped_tcp6(context):
    return tcp(socket.AF_INET6, (f"::ffff:{context['host_address']}", context["port"]))


@attack(control="hostnet")
def fast_open(context):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.sendto(b"?", socket.MSG_FASTOPEN, ("127.0.0.1", context["port"]))
        return s.recv(100) == SECRET


@attack(control="hostnet")
def loopback_udp(context):
    return udp(socket.AF_INET, ("127.0.0.1", context["port"]))


@attack(control="hostnet")
def loopback_udp_connected(context):
    return udp(socket.AF_INET, ("127.0.0.1", context["port"]), connect=True)


@attack(control="hostnet")
def loopback_udp6(context):
    return udp(socket.AF_INET6, ("::1", context["port"]))


@attack(control="hostnet")
def mapped_udp6(context):
    return udp(socket.AF_INET6, ("::ffff:127.0.0.1", context["port"]))


@attack(control="hostnet")
def own_address_udp(context):
    return udp(socket.AF_INET, (context["host_address"], context["port"]))


@attack(control="hostnet")
def multicast(context):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        return s.sendto(b"?", ("224.0.0.251", 5353)) == 1


@attack(control="hostnet")
def broadcast(context):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")  # keeps it on the host
        return s.sendto(b"?", ("255.255.255.255", context["port"])) == 1


@attack(control="hostnet")
def abstract_socket(context):
    return tcp(socket.AF_UNIX, "\0" + context["abstract"])


@attack(control="hostnet")
def abstract_by_datagram_pair(context):
    a, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.connect("\0" + context["abstract_datagram"])
    return a.send(b"x") == 1


@attack(control="hostnet")
def abstract_by_sendto(context):
    a, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.sendto(b"x", "\0" + context["abstract_datagram"])
    return True


@attack(control="hostnet")
def listen_tcp(context):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        return True


@attack(control="hostnet")
def take_a_port(context):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", context["free_port"]))
        return True


@attack(control="hostnet")
def take_an_abstract_name(context):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.bind(f"\0evil-{os.getpid()}")
        s.listen()
        return True


@attack(control="hostnet")
def netlink(context):
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)


@attack(control="hostnet")
def netlink_datagram(context):
    """The type of the socket is allowed, so only the family can be the reason for a refusal."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 0)


@attack()
def raw_socket(context):
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)


@attack()
def packet_socket(context):
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)


@attack()
def icmp_socket(context):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as s:
        return s.sendto(struct.pack("!BBHHH", 8, 0, 0xF7FF, 0, 0), ("127.0.0.1", 0))


@attack(control="noseccomp")
def multipath_tcp(context):
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)


@attack(control="noseccomp")
def udp_lite(context):
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136)
