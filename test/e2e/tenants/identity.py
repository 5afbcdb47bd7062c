"""A function for the tests of identities: changes of its ids, and their effect on others."""

import ctypes
import errno
import fcntl
import os
import select
import socket
import struct

LIBC = ctypes.CDLL(None, use_errno=True)
HELD = []
# System calls by their numbers on x86-64 and arm64.
X64 = os.uname().machine == "x86_64"
SETGROUPS, UNSHARE, SETNS, PTRACE, PROCESS_VM_READV = (
    (116, 272, 308, 101, 310) if X64 else (159, 97, 268, 117, 270)
)
CLONE3 = 435
NEWUSER = 0x10000000
F_SETPIPE_SZ, F_GETPIPE_SZ = 1031, 1032


def name_of(action, *arguments):
    """The name of an action's error, or None."""
    try:
        action(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


def call(number, *arguments):
    """Makes a system call. Returns the name of its error, or None."""
    if LIBC.syscall(number, *arguments) >= 0:
        return None
    return errno.errorcode[ctypes.get_errno()]


def take_ids(event):
    """Tries to take other ids, by each call and each id. Returns the ids and calls that worked."""
    taken = []
    for one in event["ids"]:
        for call_of, count in (
            (os.setuid, 1),
            (os.setgid, 1),
            (os.setreuid, 2),
            (os.setregid, 2),
            (os.setresuid, 3),
            (os.setresgid, 3),
        ):
            for place in range(count):
                arguments = [-1] * count
                arguments[place] = one
                if name_of(call_of, *arguments) is None:
                    taken.append([call_of.__name__, arguments])
        if LIBC.setfsuid(one) != -1 and LIBC.setfsuid(-1) == one:
            taken.append(["setfsuid", [one]])
    return taken


def keep_ids(event):
    """Takes its own ids, which is allowed."""
    os.setresgid(1000, 1000, 1000)
    os.setresuid(1000, -1, 1000)
    os.setuid(1000)
    return [os.getresuid(), os.getresgid(), os.getgroups()]


def leave_namespace(event):
    """Tries other user namespaces, groups, and tracing."""
    flags = ctypes.create_string_buffer(struct.pack("QQQQQQQQ", NEWUSER, 0, 0, 0, 17, 0, 0, 0))
    group = (ctypes.c_uint * 1)(0)
    child = os.pidfd_open(os.getpid())
    return {
        "setgroups": call(SETGROUPS, 1, group),
        "unshare": call(UNSHARE, NEWUSER),
        "setns": call(SETNS, child, NEWUSER),
        "clone3": call(CLONE3, flags, 64),
        "ptrace": call(PTRACE, 16, 1, None, None),
        "process_vm_readv": call(PROCESS_VM_READV, 1, None, 0, None, 0, 0),
        "proc": name_of(os.listdir, f"/proc/{os.getpid()}"),
    }


def signal_others(event):
    """Signals the host pids of other sandboxes and of its zygote, and its own pid."""
    told = {str(pid): name_of(os.kill, pid, 0) for pid in event["pids"]}
    told["own"] = name_of(os.kill, os.getpid(), 0)
    return told


def forge_credentials(event):
    """Claims other ids over a socket. Returns the error for each id, and for its own."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    other.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    told = {}
    for uid in event["ids"]:
        for gid in (uid, 1000):
            data = struct.pack("3i", os.getpid(), uid, gid)
            told[f"{uid} {gid}"] = name_of(
                one.sendmsg, [b"x"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, data)]
            )
    return told


def flag_null(event):
    """Flags of its standard input, before and after it has set a flag."""
    before = fcntl.fcntl(0, fcntl.F_GETFL)
    fcntl.fcntl(0, fcntl.F_SETFL, before | os.O_NONBLOCK | os.O_APPEND)
    return [before & (os.O_NONBLOCK | os.O_APPEND), fcntl.fcntl(0, fcntl.F_GETFL) & os.O_NONBLOCK]


def enlarge_pipes(event):
    """The log's size, and the results of enlarging the log and a pipe of its own."""
    own = os.pipe()[1]
    HELD.append(own)
    return [
        fcntl.fcntl(1, F_GETPIPE_SZ),
        [name_of(fcntl.fcntl, fd, F_SETPIPE_SZ, 1 << 20) for fd in (1, 2, own)],
        fcntl.fcntl(1, F_GETPIPE_SZ),
    ]


def watch(event):
    """Uses up all epoll watches. Returns their number, and the error at the end."""
    files = [os.eventfd(0) for _ in range(500)]
    done = 0
    try:
        while done < event["times"]:
            HELD.append(select.epoll())
            for file in files:
                HELD[-1].register(file, 0)
                done += 1
    except OSError as error:
        return [done, errno.errorcode[error.errno]]
    return [done, None]


def keep_file(event):
    with open("/tmp/secret", "w") as file:
        file.write("secret")
    os.chmod("/tmp/secret", 0o600)
    return os.getpid()


def f(event):
    return globals()[event["do"]](event)
