"""Services of the host that a sandbox must not reach. Prints their addresses.

Ends at the end of its standard input.
"""

import json
import os
import selectors
import socket
import sys

SECRET = b"loopback service"


def bound(family, kind, address):
    """A bound socket that can receive requests. An IPv6 socket accepts IPv4, too."""
    s = socket.socket(family, kind)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        s.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND, for addresses of a local route
    s.bind(address)
    if kind == socket.SOCK_STREAM:
        s.listen(64)
    return s


def open_all():
    """Opens all sockets. Returns the sockets and their addresses."""
    tcp = bound(socket.AF_INET6, socket.SOCK_STREAM, ("::", 0))
    port = tcp.getsockname()[1]
    names = [f"argyle-{kind}-{os.getpid()}" for kind in ("stream", "datagram")]
    sockets = [
        tcp,
        bound(socket.AF_INET6, socket.SOCK_DGRAM, ("::", port)),
        bound(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + names[0]),
        bound(socket.AF_UNIX, socket.SOCK_DGRAM, "\0" + names[1]),
    ]
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        free_port = unused.getsockname()[1]
    place = {
        "free_port": free_port,
        "port": port,
        "abstract": names[0],
        "abstract_datagram": names[1],
    }
    return sockets, place


def answer(s):
    """Answers a datagram from the address that received it, if a socket can bind this address."""
    _, where, _, peer = s.recvmsg(100, 64)
    for ancillary in (where, []):
        try:
            return peer and s.sendmsg([SECRET], ancillary, 0, peer)
        except OSError:  # an anycast address, or the peer is unreachable
            continue


def serve(sockets):
    """Answers every request with SECRET."""
    ready = selectors.DefaultSelector()
    for s in [*sockets, sys.stdin]:
        ready.register(s, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            s = key.fileobj
            if s is sys.stdin:  # the test has ended
                return
            if s.type == socket.SOCK_STREAM:
                peer, _ = s.accept()
                peer.send(SECRET)
                peer.close()
            else:
                answer(s)


def main():
    """Opens the services, prints their addresses, and serves."""
    sockets, place = open_all()
    print(json.dumps(place), flush=True)
    serve(sockets)


if __name__ == "__main__":
    sys.exit(main())
