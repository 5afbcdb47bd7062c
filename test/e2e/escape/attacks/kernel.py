"""Attacks on interfaces of the kernel: identity, other ABIs, modules, keyrings, rings."""

import ctypes
import errno
import mmap
import os
import resource
import signal
import socket
import struct

from . import attack
from .calls import LIBC, call, reaches_kernel


@attack()
def i386_call(context):
    """getpid by int 0x80. The numbers differ in that ABI, so a filter must check the ABI."""
    if os.uname().machine != "x86_64":
        raise OSError(errno.ENOSYS, "no such gate")
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\x53\xb8\x14\0\0\0\xcd\x80\x5b\xc3")  # push rbx; mov eax, 20; int 0x80; pop; ret
    place = ctypes.addressof(ctypes.c_char.from_buffer(code))
    pid = os.fork()
    if pid == 0:
        os._exit(ctypes.CFUNCTYPE(ctypes.c_int)(place)() > 0)
    try:
        status = os.waitpid(pid, 0)[1]
    except ChildProcessError:  # a zygote's children are reaped for it
        raise PermissionError("what became of it nobody knows") from None
    if os.WIFSIGNALED(status):
        absent = os.WTERMSIG(status) == signal.SIGSEGV
        raise OSError(errno.ENOSYS if absent else errno.EPERM, "the call kills")
    return os.waitstatus_to_exitcode(status) == 1


@attack(control="noseccomp")
def x32_call(context):
    return call(0x40000000 + 39) > 0


@attack()
def become_root(context):
    os.setresuid(0, 0, 0)
    return os.getuid() == 0


@attack()
def join_groups(context):
    os.setgroups([0])
    return True


@attack()
def raise_capabilities(context):
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    wanted = (ctypes.c_uint32 * 6)(1 << 1, 1 << 1, 0, 0, 0, 0)  # CAP_DAC_OVERRIDE
    return call(126, header, wanted) == 0


@attack(control="noseccomp")
def survive_the_helper(context):
    """Clears the signal at the parent's death, so the process could outlive its sandbox."""
    return LIBC.prctl(1, 0, 0, 0, 0) == 0


@attack(control="noseccomp")
def add_key(context):
    return call(248, b"user", b"name", b"data", 4, -2) > 0


@attack(control="noseccomp")
def keyctl(context):
    return call(250, 0, -2, 1) != 0


@attack(control="noseccomp")
def request_key(context):
    return reaches_kernel(249, b"user", b"absent", 0, -2)


@attack(control="noseccomp")
def io_uring(context):
    return reaches_kernel(425, 1, ctypes.create_string_buffer(256))


@attack(control="noseccomp")
def userfaultfd(context):
    return call(323, 1) >= 0


@attack()
def bpf_map(context):
    return call(321, 0, (ctypes.c_uint32 * 16)(2, 4, 4, 1), 64) >= 0


@attack()
def perf_event(context):
    attributes = ctypes.create_string_buffer(128)
    attributes[0], attributes[4] = 1, 112
    return call(298, attributes, 0, -1, -1, 0) >= 0


@attack()
def load_module(context):
    return reaches_kernel(175, b"", 0, b"")


@attack()
def kexec(context):
    return reaches_kernel(246, 0, 0, None, -1)


@attack()
def swap_on(context):
    return reaches_kernel(167, b"/absent", 0)


@attack()
def process_accounting(context):
    return reaches_kernel(163, b"/absent/x")


@attack()
def kernel_log(context):
    return call(103, 10, None, 0) > 0


@attack()
def io_ports(context):
    return call(173, 0x80, 1, 1) == 0


@attack(control="noseccomp")
def modify_ldt(context):
    return call(154, 0, ctypes.create_string_buffer(64), 64) >= 0


@attack(control="noseccomp")
def no_address_randomisation(context):
    return call(135, 0x0040000) >= 0


@attack(control="noseccomp")
def push_terminal_input(context):
    return reaches_kernel(16, 0, 0x5412, b"x", refused=(1,))


@attack(control="noseccomp")
def paste_terminal_input(context):
    return reaches_kernel(16, 0, 0x541C, b"\x02", refused=(1,))


@attack(control="noseccomp")
def push_terminal_input_wide(context):
    """The kernel reads the low 32 bits of the request. A 64-bit comparison would miss this."""
    return reaches_kernel(16, 0, 0x7FFFFFFF00005412, b"x", refused=(1,))


@attack(control="noseccomp")
def use_up_inotify(context):
    return call(294, 0) >= 0


@attack()
def fanotify(context):
    return call(300, 0, 0) >= 0


@attack(control="noseccomp")
def kernel_crypto(context):
    return socket.socket(38, socket.SOCK_SEQPACKET)


@attack(control="noseccomp")
def take_a_lease(context):
    """Takes a lease. A process that opens the file then waits for 45 s."""
    fd = os.open(context["own_file"], os.O_RDONLY)
    return reaches_kernel(72, fd, 1024, 0, refused=(errno.EINVAL,))


@attack(control="noseccomp")
def take_a_lease_wide(context):
    """The kernel reads the low 32 bits of the command."""
    fd = os.open(context["own_file"], os.O_RDONLY)
    return reaches_kernel(72, fd, 0x7FFFFFFF00000400, 0, refused=(errno.EINVAL,))


@attack(control="noseccomp")
def ask_for_a_lease(context):
    fd = os.open(context["own_file"], os.O_RDONLY)
    return call(72, fd, 1025) >= 0


@attack(control="noseccomp")
def notify_of_a_directory(context):
    fd = os.open(context["usr"], os.O_RDONLY)
    return call(72, fd, 1026, 2) == 0


@attack(control="noseccomp")
def enlarge_a_pipe(context):
    read, _ = os.pipe()
    return call(72, read, 1031, 1 << 18) > 0


@attack(control="noseccomp")
def signal_by_file(context):
    read, _ = os.pipe()
    return call(72, read, 8, os.getpid()) == 0


@attack(control="noseccomp")
def reserve_by_ioctl(context):
    """FS_IOC_RESVSP reserves space without a write."""
    space = struct.pack("=hhiqqiI4i", 0, 0, 0, 0, 1 << 20, 0, 0, 0, 0, 0, 0)
    with open(f"{context['tmp']}/reserved", "wb") as file:
        call(16, file.fileno(), 0x40305828, space)
        return os.fstat(file.fileno()).st_blocks > 0


@attack(control="noseccomp")
def reserve_by_ioctl_64(context):
    space = struct.pack("=hhiqqiI4i", 0, 0, 0, 0, 1 << 20, 0, 0, 0, 0, 0, 0)
    with open(f"{context['tmp']}/reserved64", "wb") as file:
        call(16, file.fileno(), 0x4030582A, space)
        return os.fstat(file.fileno()).st_blocks > 0


@attack(control="noseccomp")
def zero_range_by_ioctl(context):
    space = struct.pack("=hhiqqiI4i", 0, 0, 0, 0, 1 << 20, 0, 0, 0, 0, 0, 0)
    with open(f"{context['tmp']}/zeroed", "wb") as file:
        return reaches_kernel(16, file.fileno(), 0x40305839, space, refused=(errno.ENOTTY,))


@attack(control="noseccomp")
def file_flags_by_ioctl(context):
    flags = ctypes.create_string_buffer(8)
    with open(f"{context['tmp']}/flagged", "wb") as file:
        return call(16, file.fileno(), 0x80086601, flags) == 0


@attack(control="noseccomp")
def entropy_by_ioctl(context):
    with open("/dev/urandom", "rb") as file:
        return call(16, file.fileno(), 0x80045200, ctypes.create_string_buffer(8)) == 0


@attack(control="noseccomp")
def become_dumpable(context):
    return call(157, 4, 1, 0, 0, 0) == 0


@attack(control="noseccomp")
def fault_the_clock(context):
    return call(157, 26, 1, 0, 0, 0) == 0


@attack(control="noseccomp")
def merge_pages(context):
    """Equal pages of two tenants would be merged. The time of a write would reveal that."""
    place = mmap.mmap(-1, 4096)
    return (
        call(28, ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(place))), 4096, 12) == 0
    )


@attack(control="noseccomp")
def page_out(context):
    place = mmap.mmap(-1, 4096)
    return (
        call(28, ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(place))), 4096, 21) == 0
    )


@attack(control="noseccomp")
def huge_page_file(context):
    return call(319, b"x", 4) >= 0


@attack(control="noseccomp")
def flush_the_disk(context):
    return call(306, os.open(context["usr"], os.O_RDONLY)) == 0


@attack(control="noseccomp")
def raise_io_priority(context):
    return call(251, 1, 0, 2 << 13) == 0


@attack(control="noseccomp")
def dump_core_to_a_program(context):
    """A core limit of 0 permits a piped core_pattern; a limit of 1 does not."""
    return call(160, 4, struct.pack("=QQ", 0, 1)) == 0


@attack(control="noseccomp")
def dump_core_by_prlimit(context):
    limits = struct.pack("=QQ", 0, 1)
    return call(302, 0, 4, limits, None) == 0


@attack()
def core_limit_is_another(context):
    return resource.getrlimit(resource.RLIMIT_CORE) != (1, 1)
