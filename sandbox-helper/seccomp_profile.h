/* SPDX-License-Identifier: Apache-2.0
 * The allowlist of a sandbox's system calls. The helper installs it for fresh guests. libguest.so adds the leaf's
 * restrictions to a forked guest, which inherits its zygote's filter.
 *
 * A call that is not listed fails with ENOSYS, so that libraries fall back as on an old kernel. Constant verdicts cost
 * nothing at run time: the kernel (5.11) caches them in a bitmap. inotify is not listed: the kernel charges its
 * instances to the maker of the user namespace, so a sandbox could exhaust that user's limit. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol.h"

#if defined __x86_64__
#define SECCOMP_ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define SECCOMP_ARCH AUDIT_ARCH_AARCH64
#else
#error "no seccomp profile for this architecture"
#endif

#define SECCOMP_MAX 1024
/* Every namespace that clone(2) can make. CLONE_NEWTIME shares a bit with the exit signal; clone3 only. */
#define SECCOMP_NEW_NAMESPACES \
  (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

/* clang-format off */
static const int seccomp_allowed[] = {
    /* files */
    SYS_read, SYS_write, SYS_close, SYS_fstat, SYS_lseek, SYS_pread64, SYS_pwrite64, SYS_readv, SYS_writev, SYS_preadv,
    SYS_pwritev, SYS_preadv2, SYS_pwritev2, SYS_openat, SYS_openat2, SYS_close_range, SYS_newfstatat, SYS_statx,
    SYS_statfs, SYS_fstatfs, SYS_faccessat, SYS_faccessat2, SYS_readlinkat, SYS_getdents64, SYS_getcwd, SYS_chdir,
    SYS_fchdir, SYS_mkdirat, SYS_mknodat, SYS_unlinkat, SYS_renameat2, SYS_linkat, SYS_symlinkat, SYS_fchmod,
    SYS_fchmodat, SYS_fchown, SYS_fchownat, SYS_utimensat, SYS_truncate, SYS_ftruncate, SYS_fallocate, SYS_fadvise64,
    SYS_readahead, SYS_fsync, SYS_fdatasync, SYS_sync_file_range, SYS_flock, SYS_dup, SYS_dup3,
    SYS_pipe2, SYS_umask, SYS_sendfile, SYS_splice, SYS_tee, SYS_copy_file_range, SYS_getxattr,
    SYS_lgetxattr, SYS_fgetxattr, SYS_listxattr, SYS_llistxattr, SYS_flistxattr, SYS_setxattr, SYS_lsetxattr,
    SYS_fsetxattr, SYS_removexattr, SYS_lremovexattr, SYS_fremovexattr,
    /* waiting, time, and what machine this is */
    SYS_ppoll, SYS_pselect6, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_eventfd2,
    SYS_signalfd4, SYS_timerfd_create, SYS_timerfd_settime, SYS_timerfd_gettime, SYS_nanosleep, SYS_clock_nanosleep,
    SYS_clock_gettime, SYS_clock_getres, SYS_gettimeofday, SYS_uname, SYS_sysinfo, SYS_getrandom,
    /* memory */
    SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap, SYS_brk, SYS_msync, SYS_mincore, SYS_mlock, SYS_mlock2,
    SYS_munlock, SYS_mlockall, SYS_munlockall, SYS_membarrier, SYS_pkey_mprotect, SYS_pkey_alloc, SYS_pkey_free,
    SYS_mbind, SYS_get_mempolicy, SYS_set_mempolicy,
    /* processes and threads */
    SYS_execve, SYS_execveat, SYS_exit, SYS_exit_group, SYS_wait4, SYS_waitid, SYS_set_tid_address, SYS_set_robust_list,
    SYS_get_robust_list, SYS_rseq, SYS_futex, SYS_sched_yield, SYS_sched_getaffinity, SYS_sched_setaffinity,
    SYS_sched_getparam, SYS_sched_setparam, SYS_sched_getscheduler, SYS_sched_setscheduler, SYS_sched_get_priority_max,
    SYS_sched_get_priority_min, SYS_sched_rr_get_interval, SYS_sched_getattr, SYS_sched_setattr, SYS_getpriority,
    SYS_setpriority, SYS_ioprio_get, SYS_getrlimit, SYS_getrusage,
    SYS_times, SYS_getcpu, SYS_capget, SYS_capset, SYS_seccomp, SYS_landlock_create_ruleset, SYS_landlock_add_rule,
    SYS_landlock_restrict_self, SYS_restart_syscall, SYS_getpid, SYS_gettid, SYS_getppid, SYS_getpgid, SYS_setpgid,
    SYS_getsid, SYS_setsid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getresuid, SYS_getresgid,
    SYS_getgroups, SYS_pidfd_open, SYS_pidfd_send_signal,
    /* signals */
    SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigpending, SYS_rt_sigsuspend, SYS_rt_sigtimedwait,
    SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_sigaltstack, SYS_kill, SYS_tkill, SYS_tgkill, SYS_getitimer,
    SYS_setitimer, SYS_timer_create, SYS_timer_settime, SYS_timer_gettime, SYS_timer_getoverrun, SYS_timer_delete,
    /* sockets; socket, socketpair and listen are judged by their arguments below */
    SYS_bind, SYS_connect, SYS_accept, SYS_accept4, SYS_getsockname, SYS_getpeername, SYS_sendto, SYS_recvfrom,
    SYS_sendmsg, SYS_recvmsg, SYS_sendmmsg, SYS_recvmmsg, SYS_shutdown, SYS_setsockopt, SYS_getsockopt,
    /* SysV and POSIX IPC, in an IPC namespace of their own */
    SYS_shmget, SYS_shmat, SYS_shmdt, SYS_shmctl, SYS_semget, SYS_semop, SYS_semctl, SYS_semtimedop, SYS_msgget,
    SYS_msgsnd, SYS_msgrcv, SYS_msgctl, SYS_mq_open, SYS_mq_unlink, SYS_mq_timedsend, SYS_mq_timedreceive,
    SYS_mq_notify, SYS_mq_getsetattr,
#ifdef __x86_64__
    SYS_open, SYS_creat, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_getdents, SYS_mkdir, SYS_rmdir, SYS_mknod,
    SYS_unlink, SYS_rename, SYS_renameat, SYS_link, SYS_symlink, SYS_chmod, SYS_chown, SYS_lchown, SYS_utime,
    SYS_utimes, SYS_futimesat, SYS_dup2, SYS_pipe, SYS_poll, SYS_select, SYS_epoll_create, SYS_epoll_wait, SYS_eventfd,
    SYS_signalfd, SYS_fork, SYS_vfork, SYS_getpgrp, SYS_alarm, SYS_pause, SYS_time, SYS_arch_prctl,
#endif
};
/* clang-format on */

/* Calls with a dangerous argument. The listed values pass. Any other value fails as if the kernel did not know it. */
/* clang-format off */
/* Not listed: leases, F_NOTIFY, F_SETOWN, F_SETSIG, F_SETPIPE_SZ. They affect other processes with the file or uid. */
static const unsigned seccomp_fcntl[] = {
    F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, 36 /* F_OFD_GETLK to SETLKW */, 37, 38,
    1030 /* F_DUPFD_CLOEXEC */, 1032 /* F_GETPIPE_SZ */, 1033 /* F_ADD_SEALS */, 1034 /* F_GET_SEALS */};
/* Descriptors: FIONCLEX, FIOCLEX, FIONBIO, FIOASYNC, FIONREAD, SIOCOUTQ, SIOCATMARK. Reads of network devices:
 * SIOCGIFNAME, -CONF, -FLAGS, -ADDR, -BRDADDR, -NETMASK, -MTU, -HWADDR, -INDEX. No commands of terminals, which a sandbox
 * lacks, and none of file systems, which reserve space. */
static const unsigned seccomp_ioctl[] = {0x5450, 0x5451, 0x5421, 0x5452, 0x541b, 0x5411, 0x8905, 0x8910, 0x8912, 0x8913,
    0x8915, 0x8919, 0x891b, 0x8921, 0x8927, 0x8933};
/* No PR_SET_PDEATHSIG, or a guest could outlive a killed helper. No core scheduling, which stops a core's other thread.
 * No merging of equal pages, which is a side channel between tenants. No permission to be traced. The last entry is
 * PR_SET_VMA, which names mappings. */
static const unsigned seccomp_prctl[] = {
    PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_GET_KEEPCAPS, PR_GET_TIMING, PR_SET_NAME, PR_GET_NAME, PR_GET_SECCOMP,
    PR_SET_SECCOMP, PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_GET_SECUREBITS, PR_SET_TIMERSLACK, PR_GET_TIMERSLACK,
    PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_GET_TID_ADDRESS,
    PR_SET_THP_DISABLE, PR_GET_THP_DISABLE, PR_CAP_AMBIENT, PR_GET_SPECULATION_CTRL, 0x53564d41};
/* Listed: 0 to 4, FREE to DOFORK, HUGEPAGE to KEEPONFORK, POPULATE_READ and -WRITE, GUARD_INSTALL and -REMOVE. Not
 * listed: MADV_MERGEABLE, as above, and MADV_PAGEOUT, which evicts pages that others map. */
static const unsigned seccomp_madvise[] = {0, 1, 2, 3, 4, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 22, 23, 102, 103};
#define SECCOMP_COLLAPSE 25 /* MADV_COLLAPSE, Linux 6.1: only for a zygote */
static const unsigned seccomp_personality[] = {0, 0xffffffffu /* a query */};
/* Listed: CLOEXEC, ALLOW_SEALING, NOEXEC_SEAL, EXEC. Not listed: huge pages, which no limit of a sandbox counts. */
static const unsigned seccomp_memfd[] = {0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19};

#define SECCOMP_VALUES(list) list, sizeof list / sizeof *list
static const struct seccomp_choice {
  int number, argument, error;
  const unsigned *value;
  size_t n;
} seccomp_choices[] = {
    {SYS_fcntl, 1, EINVAL, SECCOMP_VALUES(seccomp_fcntl)}, {SYS_ioctl, 1, ENOTTY, SECCOMP_VALUES(seccomp_ioctl)},
    {SYS_prctl, 0, EINVAL, SECCOMP_VALUES(seccomp_prctl)}, {SYS_madvise, 2, EINVAL, SECCOMP_VALUES(seccomp_madvise)},
    {SYS_personality, 0, EPERM, SECCOMP_VALUES(seccomp_personality)},
    {SYS_memfd_create, 1, EINVAL, SECCOMP_VALUES(seccomp_memfd)}};
/* clang-format on */

struct seccomp_program {
  struct sock_filter code[SECCOMP_MAX];
  unsigned short n;
};

static inline void seccomp_emit(struct seccomp_program *p, unsigned short code, unsigned k, unsigned char yes,
                                unsigned char no) {
  if (p->n < SECCOMP_MAX) p->code[p->n++] = (struct sock_filter){code, yes, no, k};
}

static inline void seccomp_return(struct seccomp_program *p, unsigned verdict) {
  seccomp_emit(p, BPF_RET | BPF_K, verdict, 0, 0);
}

static inline void seccomp_load(struct seccomp_program *p, size_t offset) {
  seccomp_emit(p, BPF_LD | BPF_W | BPF_ABS, (unsigned)offset, 0, 0);
}

#define SECCOMP_DENY(error) (SECCOMP_RET_ERRNO | (error))
#define SECCOMP_IF_EQUAL(p, value, verdict)                  \
  do {                                                       \
    seccomp_emit(p, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1); \
    seccomp_return(p, verdict);                              \
  } while (0)
/* The low half of argument n; the kernel ignores the high half of ints. */
#define SECCOMP_ARG(n) (offsetof(struct seccomp_data, args) + 8 * (n))

/* Returns the verdict unless the word at `offset` under the mask is one of n values. */
static inline void seccomp_require(struct seccomp_program *p, size_t offset, unsigned mask, const unsigned value[],
                                   unsigned n, unsigned verdict) {
  seccomp_load(p, offset);
  if (mask != ~0u) seccomp_emit(p, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
  for (unsigned i = 0; i < n; i++) seccomp_emit(p, BPF_JMP | BPF_JEQ | BPF_K, value[i], (unsigned char)(n - i), 0);
  seccomp_return(p, verdict);
}

/* Opens a block that runs only for one system call. seccomp_close_block() ends it. */
static inline unsigned short seccomp_open_block(struct seccomp_program *p, int number) {
  seccomp_emit(p, BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 0);
  return (unsigned short)(p->n - 1);
}

static inline void seccomp_close_block(struct seccomp_program *p, unsigned short start, unsigned verdict) {
  seccomp_return(p, verdict);
  p->code[start].jf = (unsigned char)(p->n - start - 1);
}

static inline void seccomp_start(struct seccomp_program *p) {
  p->n = 0;
  seccomp_load(p, offsetof(struct seccomp_data, arch));
  seccomp_emit(p, BPF_JMP | BPF_JEQ | BPF_K, SECCOMP_ARCH, 1, 0);
  seccomp_return(p, SECCOMP_RET_KILL_PROCESS);
  seccomp_load(p, offsetof(struct seccomp_data, nr));
}

/* Forbids what a zygote may do and a leaf may not: chroot, setns, and clone3, whose flags a filter cannot read. */
static inline void seccomp_leaf_rules(struct seccomp_program *p) {
  SECCOMP_IF_EQUAL(p, SYS_clone3, SECCOMP_DENY(ENOSYS)); /* ENOSYS: glibc falls back to clone */
  SECCOMP_IF_EQUAL(p, SYS_chroot, SECCOMP_DENY(EPERM));
  SECCOMP_IF_EQUAL(p, SYS_setns, SECCOMP_DENY(EPERM));
}

static inline void seccomp_socket_rules(struct seccomp_program *p, unsigned network) {
  const unsigned refused = SECCOMP_DENY(EPROTONOSUPPORT);
  unsigned short block = seccomp_open_block(p, SYS_socket);
  if (network != AG_NET_HOST) {
    /* The BPF programs (net.c) do not see other protocols, such as SCTP and MPTCP. Raw sockets need a capability. */
    seccomp_require(p, SECCOMP_ARG(2), ~0u, (const unsigned[]){0, 6 /* TCP */, 17 /* UDP */}, 3, refused);
    /* The same holds for the protocols that SOCK_SEQPACKET and SOCK_DCCP choose for protocol 0. */
    seccomp_require(p, SECCOMP_ARG(1), 0xf, (const unsigned[]){SOCK_STREAM, SOCK_DGRAM}, 2, refused);
  }
  seccomp_load(p, SECCOMP_ARG(0));
  if (network != AG_NET_NONE) {
    SECCOMP_IF_EQUAL(p, AF_INET, SECCOMP_RET_ALLOW);
    SECCOMP_IF_EQUAL(p, AF_INET6, SECCOMP_RET_ALLOW);
  }
  if (network == AG_NET_HOST) { /* abstract unix sockets belong to the network namespace that all share */
    SECCOMP_IF_EQUAL(p, AF_UNIX, SECCOMP_RET_ALLOW);
    SECCOMP_IF_EQUAL(p, AF_NETLINK, SECCOMP_RET_ALLOW);
  }
  seccomp_close_block(p, block, SECCOMP_DENY(EAFNOSUPPORT));

  /* connect() and sendto() can point a datagram pair at an abstract socket. They cannot do so with a connected stream
   * or seqpacket pair. */
  block = seccomp_open_block(p, SYS_socketpair);
  seccomp_require(p, SECCOMP_ARG(1), 0xf, (const unsigned[]){SOCK_STREAM, SOCK_SEQPACKET}, 2,
                  network == AG_NET_HOST ? SECCOMP_RET_ALLOW : refused);
  seccomp_close_block(p, block, SECCOMP_RET_ALLOW);

  /* The slot's own socket already listens. */
  SECCOMP_IF_EQUAL(p, SYS_listen, network == AG_NET_HOST ? SECCOMP_RET_ALLOW : SECCOMP_DENY(EPERM));
}

static inline void seccomp_argument_rules(struct seccomp_program *p, unsigned role) {
  unsigned short block = seccomp_open_block(p, SYS_clone);
  seccomp_load(p, SECCOMP_ARG(0));
  seccomp_emit(p, BPF_JMP | BPF_JSET | BPF_K, SECCOMP_NEW_NAMESPACES, 0, 1);
  seccomp_return(p, SECCOMP_DENY(EPERM));
  seccomp_close_block(p, block, SECCOMP_RET_ALLOW);

  for (size_t i = 0; i < sizeof seccomp_choices / sizeof *seccomp_choices; i++) {
    const struct seccomp_choice *c = &seccomp_choices[i];
    block = seccomp_open_block(p, c->number);
    seccomp_load(p, SECCOMP_ARG(c->argument));
    if (c->number == SYS_ioctl) { /* TIOCSTI and TIOCLINUX, which write terminal input, fail with EPERM */
      SECCOMP_IF_EQUAL(p, 0x5412, SECCOMP_DENY(EPERM));
      SECCOMP_IF_EQUAL(p, 0x541c, SECCOMP_DENY(EPERM));
    }
    /* MADV_COLLAPSE, for Python's text (guest/fork/hugetext.c). MADV_HUGEPAGE has the kernel do the same later. */
    if (c->number == SYS_madvise && role == AG_ZYGOTE) SECCOMP_IF_EQUAL(p, SECCOMP_COLLAPSE, SECCOMP_RET_ALLOW);
    for (size_t v = 0; v < c->n; v++) SECCOMP_IF_EQUAL(p, c->value[v], SECCOMP_RET_ALLOW);
    seccomp_close_block(p, block, SECCOMP_DENY(c->error));
  }

  /* A zygote's child has all capabilities until it has become AG_GUEST_ID. It may take no other id of its user
   * namespace. */
  static const int set_ids[] = {SYS_setuid,   SYS_setgid,   SYS_setfsuid,  SYS_setfsgid,
                                SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid};
  for (size_t i = 0; i < sizeof set_ids / sizeof *set_ids; i++) {
    block = seccomp_open_block(p, set_ids[i]);
    for (size_t n = 0; n < (i < 4 ? 1 : i / 2); n++) /* one, two or three arguments */
      seccomp_require(p, SECCOMP_ARG(n), ~0u, (const unsigned[]){AG_GUEST_ID, ~0u /* stays */}, 2, SECCOMP_DENY(EPERM));
    seccomp_close_block(p, block, SECCOMP_RET_ALLOW);
  }

  /* No sandbox changes its core limit: 1 byte stops core files and core_pattern's program, 0 stops only files. */
  block = seccomp_open_block(p, SYS_prlimit64); /* setrlimit is not listed: libraries use this call */
  seccomp_require(p, SECCOMP_ARG(1), ~0u, (const unsigned[]){RLIMIT_CORE}, 1, SECCOMP_RET_ALLOW);
  for (size_t half = 0; half < 2; half++) /* a query passes: it has no new limits */
    seccomp_require(p, SECCOMP_ARG(2) + 4 * half, ~0u, (const unsigned[]){0}, 1, SECCOMP_DENY(EPERM));
  seccomp_close_block(p, block, SECCOMP_RET_ALLOW);
}

/* The whole profile of a fresh guest. A zygote may also use chroot, clone3, setns and MADV_COLLAPSE. */
static inline void seccomp_build(struct seccomp_program *p, unsigned role, unsigned network) {
  bool listed[512] = {false}, on = false;
  seccomp_start(p);
  if (role == AG_ZYGOTE) {
    SECCOMP_IF_EQUAL(p, SYS_clone3, SECCOMP_RET_ALLOW);
    SECCOMP_IF_EQUAL(p, SYS_chroot, SECCOMP_RET_ALLOW);
    unsigned short block = seccomp_open_block(p, SYS_setns); /* a child enters the user namespace that it is given */
    seccomp_require(p, SECCOMP_ARG(1), ~0u, (const unsigned[]){CLONE_NEWUSER}, 1, SECCOMP_DENY(EPERM));
    seccomp_close_block(p, block, SECCOMP_RET_ALLOW);
  } else {
    seccomp_leaf_rules(p);
  }
  /* An installer writes on the host's disk. The worker notices written space in time, but not reserved space. */
  if (role == AG_INSTALLER) SECCOMP_IF_EQUAL(p, SYS_fallocate, SECCOMP_DENY(EOPNOTSUPP));
  seccomp_socket_rules(p, network);
  seccomp_argument_rules(p, role);
  /* The filter compares the number with the bounds of sorted ranges, which takes few instructions. At the installation,
   * the kernel runs the filter once for every call number. */
  for (size_t i = 0; i < sizeof seccomp_allowed / sizeof *seccomp_allowed; i++)
    if ((size_t)seccomp_allowed[i] < sizeof listed) listed[seccomp_allowed[i]] = true;
  for (unsigned nr = 0; nr < sizeof listed; nr++) {
    if (listed[nr] == on) continue;
    seccomp_emit(p, BPF_JMP | BPF_JGE | BPF_K, nr, 1, 0);
    seccomp_return(p, on ? SECCOMP_RET_ALLOW : SECCOMP_DENY(ENOSYS));
    on = !on;
  }
  seccomp_return(p, SECCOMP_DENY(ENOSYS));
}

static inline int seccomp_set(struct seccomp_program *p) {
  struct sock_fprog program = {p->n, p->code};
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static inline int seccomp_install(unsigned role, unsigned network) {
  struct seccomp_program p;
  seccomp_build(&p, role, network);
  return p.n >= SECCOMP_MAX ? -1 : seccomp_set(&p);
}
