"""Takes over its connection to the worker and answers with the bytes in each request."""

import json
import os
import socket
import stat
import time

# 64 bits: with 32 bits, two of 50,000 guests would share a name in one run of three.
NAME = os.urandom(8).hex()


def connection():
    found = None
    for fd in range(5, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                found = fd
        except OSError:
            pass
    return socket.socket(fileno=os.dup(found))


def play(sock, plan):
    print("played", plan["case"], NAME, flush=True)
    data = bytes.fromhex(plan["hex"])
    begin = 0
    for cut in plan["cuts"] + [len(data)]:
        sock.sendall(data[begin:cut])
        begin = cut
        if cut < len(data):
            time.sleep(0.0005)
    if plan["then"] == "close":
        sock.shutdown(socket.SHUT_RDWR)


def receive(sock):
    """Returns the plan of the next request; None at the end of the connection."""
    buf = b""
    while b"\r\n\r\n" not in buf:
        data = sock.recv(65536)
        if not data:
            return None
        buf += data
    head, _, body = buf.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += sock.recv(65536)
    return json.loads(body)


def f(event):
    sock = connection()
    listener = socket.socket(fileno=4)
    listener.setblocking(True)
    plan = event
    while True:
        sock.setblocking(True)
        try:
            while plan is not None:
                play(sock, plan)
                plan = receive(sock)
        except OSError:
            plan = None
        sock.close()
        while plan is None:
            sock, _ = listener.accept()
            try:
                plan = receive(sock)
            except OSError:
                plan = None
