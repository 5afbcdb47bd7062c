"""Starts a guest outside a sandbox, with descriptors 3 and 4: `launch.py MAIN SOCKET ROLE`.

Reads orders from standard input, one per line: `go`, `fork` (without descriptors), `term`, `close`
(the link). The end of standard input kills the guest. Prints the link's answers as
`link OP RESULT`. Exits with the guest's status.
"""

import os
import select
import signal
import socket
import struct
import sys

LINK_MSG = struct.Struct("@IIQq")
OPS = {"go": 1, "fork": 2}


def start(main, path, role):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen(16)
    link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Both descriptors move to numbers above 3 and 4. A dup2 to 3 or 4 then overwrites neither of
    # them.
    fds = [os.dup2(sock.fileno(), 100 + i) for i, sock in enumerate((theirs, listener))]
    null = os.open("/dev/null", os.O_RDONLY)
    actions = [(os.POSIX_SPAWN_DUP2, null, 0)]
    actions += [(os.POSIX_SPAWN_DUP2, fd, 3 + i) for i, fd in enumerate(fds)]
    actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in fds]
    argv = [sys.executable, "-I", "-S", main, role]
    env = {key: value for key, value in os.environ.items() if key == "PATH" or "ARGYLE" in key}
    pid = os.posix_spawn(sys.executable, argv, env, file_actions=actions)
    for sock in (theirs, listener):
        sock.close()
    for fd in fds:
        os.close(fd)
    return pid, link


def obey(order, pid, link):
    """Executes one order. Returns whether the link is still open."""
    if order in OPS:
        try:
            link.send(LINK_MSG.pack(OPS[order], 1, 7, 0))
        except BrokenPipeError:
            pass  # the guest has ended; its exit code tells
    elif order == "term":
        os.kill(pid, signal.SIGTERM)
    elif order == "close":
        link.close()
        return False
    return True


def main(argv):
    pid, link = start(*argv[1:])
    pidfd = os.pidfd_open(pid)
    watched = [0, pidfd, link]
    text = b""
    while True:
        ready = select.select(watched, [], [])[0]
        if pidfd in ready:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) % 256
        if link in ready:
            try:
                data = link.recv(LINK_MSG.size)
            except ConnectionResetError:
                data = b""
            if data:
                op, _, seq, result = LINK_MSG.unpack(data)
                print(f"link {op} {seq} {result}", flush=True)
            else:
                watched.remove(link)
        if 0 in ready:
            data = os.read(0, 4096)
            if not data:
                os.kill(pid, signal.SIGKILL)
                watched.remove(0)
            text += data
            while b"\n" in text:
                line, _, text = text.partition(b"\n")
                if not obey(line.decode(), pid, link) and link in watched:
                    watched.remove(link)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
