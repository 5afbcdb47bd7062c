"""Native handlers: the executable /handler/f.bin, run once per request.

It gets the JSON event (the request's body, `{}` when that is empty) on standard input and, when the
event fits into one argument, as its only argument. Its result is the content of /tmp/output if it
makes that file, and its standard output otherwise. An exit code other than 0, or death by a signal,
gives status 500 with its standard error as text/plain.
"""

import os
import sys

from _argyle.apps import entry

OUTPUT = f"{entry.ROOT}/tmp/output"
# MAX_ARG_STRLEN of Linux, with the final NUL
MAX_ARGUMENT_BYTES = 131072


def find():
    """The executable's path. Raises FileNotFoundError or PermissionError."""
    path = f"{entry.HANDLER_DIR}/f.bin"
    if not os.path.isfile(path):
        raise FileNotFoundError("f.bin: the code has no such file")
    if not os.access(path, os.X_OK):
        raise PermissionError("f.bin: the file is not executable")
    return path


def handler(path):
    """Returns the exchange handler that runs the executable at `path`."""

    def handle(exchange):
        event = exchange.body.readall() or b"{}"
        code, output, errors = run(path, event)
        if errors:
            sys.stderr.buffer.write(errors)
        if code == 0:
            exchange.respond(200, b"application/json", output)
        else:
            reason = f"f.bin ended with code {code}\n".encode("ascii")
            exchange.respond(500, b"text/plain", reason + errors)

    return handle


def run(path, event):
    """Runs the executable once. Returns (exit code or -signal, result, standard error)."""
    try:
        os.unlink(OUTPUT)
    except FileNotFoundError:
        pass
    # These are files in memory. Pipes would have to be read while the program writes.
    fds = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
    try:
        _write_all(fds[0], event)
        os.lseek(fds[0], 0, os.SEEK_SET)
        argument = [event] if len(event) < MAX_ARGUMENT_BYTES and b"\0" not in event else []
        actions = [(os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(fds)]
        try:
            pid = os.posix_spawn(path, [path, *argument], os.environ, file_actions=actions)
        except OSError as error:
            return 127, b"", f"{error}\n".encode("utf-8", "backslashreplace")
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return code, _result(fds[1]), _read_all(fds[2])
    finally:
        for fd in fds:
            os.close(fd)


def _result(stdout_fd):
    try:
        with open(OUTPUT, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return _read_all(stdout_fd)


def _read_all(fd):
    os.lseek(fd, 0, os.SEEK_SET)
    with os.fdopen(os.dup(fd), "rb") as file:
        return file.read()


def _write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
