"""A host and a peer in separate network namespaces, linked by a veth pair.

Start it in a fresh network namespace, which becomes the host's. It prints all addresses and
runs the escape tests' services on both sides. It ends at the end of its standard input.
"""

import json
import os
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SERVICES = f"{HERE}/../escape/services.py"
HOST = ("10.99.0.1", "fd99::1", "fe80::9:1")
PEER = ("10.99.0.2", "fd99::2", "fe80::9:2")

sys.path.insert(0, os.path.dirname(SERVICES))
import services  # noqa: E402


def ip(*words, inside=None):
    """Runs ip(8), in the peer's namespace if `inside` is given. Returns its output."""
    enter = ["nsenter", f"--net=/proc/{inside}/ns/net"] if inside else []
    return subprocess.run([*enter, "ip", *words], check=True, capture_output=True, text=True).stdout


def plug_in(device, addresses, inside=None):
    v4, v6, link_local = addresses
    ip("link", "set", "lo", "up", inside=inside)
    ip("address", "add", f"{v4}/24", "broadcast", "10.99.0.255", "dev", device, inside=inside)
    ip("link", "set", device, "addrgenmode", "none", inside=inside)
    for address in (v6, link_local):
        ip("address", "add", f"{address}/64", "dev", device, "nodad", inside=inside)
    ip("link", "set", device, "up", inside=inside)


def main():
    """Makes both namespaces and their link, and serves."""
    command = ["unshare", "-n", sys.executable, "-I", SERVICES]
    peer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    peer_place = json.loads(peer.stdout.readline())
    ip("link", "add", "cable0", "type", "veth", "peer", "name", "cable1", "netns", str(peer.pid))
    # A router answers to the anycast address of each of its networks, too.
    with open("/proc/sys/net/ipv6/conf/all/forwarding", "w") as file:
        file.write("1")
    plug_in("cable0", HOST)
    plug_in("cable1", PEER, inside=peer.pid)
    sockets, place = services.open_all()
    place |= {
        "pid": os.getpid(),
        "peer_pid": peer.pid,
        "peer_port": peer_place["port"],
        "host4": HOST[0],
        "host6": HOST[1],
        "peer4": PEER[0],
        "peer6": PEER[1],
        "anycast": "fd99::",
        "broadcast": "10.99.0.255",
        "link_local": HOST[2],
        "device": socket.if_nametoindex("cable0"),
    }
    print(json.dumps(place), flush=True)
    services.serve(sockets)
    peer.stdin.close()


main()
