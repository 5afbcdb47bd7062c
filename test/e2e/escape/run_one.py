"""Runs one attack without a sandbox, as a control. Arguments: name, context as JSON, control."""

import json
import os
import socket
import subprocess
import sys

import attacks


def main(name, text, control):
    """Prints the attack's result as JSON."""
    context = json.loads(text)
    kept = []
    if control == "outside":  # in mount, uts and ipc namespaces of its own
        subprocess.run(["mount", "-t", "tmpfs", "x", context["tmp"]], check=True)
        os.mkdir(context["remount"])
        subprocess.run(["mount", "-t", "tmpfs", "x", context["remount"]], check=True)
    if control == "inherited":
        kept.append(socket.socket(socket.AF_UNIX))
        kept[0].bind(f"{context['tmp']}/99.sock")
        kept += socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    attacks.load()
    print(json.dumps(attacks.run(name, context)))


main(*sys.argv[1:])
